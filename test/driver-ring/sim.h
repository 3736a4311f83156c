/*
 * A deterministic machine for the guest driver: fibers in place of CPUs and tasks, one of which runs at a time.
 *
 * The driver's sources are compiled over kernel.h, whose locks, atomics, waits and rings call in here. Each such call is
 * a scheduling point: the schedule's seed decides who goes on. So a run is a function of its seed, and a seed that failed
 * fails again.
 *
 *   strategy 0   any runnable fiber, at random
 *   strategy d   d points at which the fiber that runs is put behind all others; between them the one of the highest
 *                priority runs for as long as it can (probabilistic concurrency testing: finds a fault of depth d)
 *
 * Memory is sequentially consistent and a fiber is stopped only at a scheduling point: what this finds is wrong orders and
 * what is used after it was freed (under AddressSanitizer), not missing barriers.
 *
 * Time is virtual. It moves only when no fiber can run, to the next time-out: a wake-up that is lost shows as a wait that
 * took its whole second. Interrupts are fibers too, as on another CPU; that the driver does not take a lock with
 * interrupts on is for lockdep in a guest to say.
 *
 * Plain C, as the driver's side is.
 */
#ifndef TMEMD_TEST_DRIVER_RING_SIM_H
#define TMEMD_TEST_DRIVER_RING_SIM_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Jiffies are milliseconds. */
#define SIM_HZ 1000
#define SIM_NEVER INT64_MAX

struct sim_task;

/** Runs @run, with everything it spawns, to its end, under the schedule of @seed. */
void sim_run(uint64_t seed, unsigned int strategy, void (*run)(void *), void *argument);

/** A fiber more, which runs @run; @name is for what is printed. Somebody has to join it. */
struct sim_task *sim_spawn(const char *name, void (*run)(void *), void *argument);
/** Waits until @task is over; it is gone then. */
void sim_join(struct sim_task *task);
/** A fiber more, that nobody joins. */
void sim_spawn_detached(const char *name, void (*run)(void *), void *argument);

/** Anybody may run now; with @spinning the caller waits for another, who is to run first. */
void sim_point(bool spinning);
/** The fiber that runs. */
struct sim_task *sim_current(void);
/** Blocks the caller until sim_wake() or until the clock says @deadline. Returns whether it was woken. */
bool sim_block(int64_t deadline);
/** Lets a blocked fiber run; returns false if it was not blocked. */
bool sim_wake(struct sim_task *task);
/** Virtual milliseconds since the run began. */
int64_t sim_now(void);
/** Calls @run, from the scheduler, at @when. */
void sim_at(int64_t when, void (*run)(void *), void *argument);
/** Forgets what sim_at() was asked for. */
void sim_cancel(void (*run)(void *), void *argument);
/** The task's state, for kernel_sync.h: it is about to sleep. */
bool *sim_asleep(struct sim_task *task);

/** A number below @bound, from the run's seed. */
uint32_t sim_random(uint32_t bound);

/** Ends the program: says what is wrong, and the seed and strategy that show it again. */
void sim_fail(const char *file, int line, const char *format, ...) __attribute__((noreturn, format(printf, 3, 4)));

#define sim_check(condition, ...)                                \
  do {                                                           \
    if (!(condition)) sim_fail(__FILE__, __LINE__, __VA_ARGS__); \
  } while (0)

struct sim_lock {
  struct sim_task *owner;
};

void sim_lock_take(struct sim_lock *lock);
bool sim_lock_try(struct sim_lock *lock);
void sim_lock_drop(struct sim_lock *lock);
void sim_lock_assert(const struct sim_lock *lock);

#ifdef __cplusplus
}
#endif

#endif
