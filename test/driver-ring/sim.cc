#include "sim.h"

#include <ucontext.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace {

constexpr size_t kStackBytes = 256 * 1024;
/** A run that takes more is one that does not end. */
constexpr uint64_t kMaxPoints = 4'000'000;
/** Points a run is expected to have: where the strategy's changes of priority are laid. */
constexpr uint64_t kExpectedPoints = 4'000;

enum class State { kRunnable, kBlocked, kOver };

}  // namespace

struct sim_task {
  std::string name;
  void (*run)(void *);
  void *argument;
  State state = State::kRunnable;
  bool woken = false;
  int64_t deadline = SIM_NEVER;
  uint64_t priority = 0;
  ucontext_t context;
  std::unique_ptr<char[]> stack;
  void *fake_stack = nullptr;
  sim_task *joiner = nullptr;
  bool detached = false;
  bool asleep = false;
};

namespace {

struct Timer {
  int64_t when;
  uint64_t order;
  void (*run)(void *);
  void *argument;
};

struct Machine {
  uint64_t seed;
  unsigned int strategy;
  std::mt19937_64 random;
  std::vector<uint64_t> changes;
  uint64_t points = 0;
  uint64_t lowest = uint64_t{1} << 32;
  int64_t now = 0;
  uint64_t nr_timers = 0;
  std::vector<Timer> timers;
  std::vector<std::unique_ptr<sim_task>> tasks;
  sim_task *current = nullptr;
  ucontext_t home;
  void *home_fake_stack = nullptr;
};

Machine *machine = nullptr;
std::vector<std::unique_ptr<char[]>> spare_stacks;
const void *home_stack = nullptr;
size_t home_stack_bytes = 0;

void switchBegin([[maybe_unused]] void **save, [[maybe_unused]] const void *bottom,
                 [[maybe_unused]] size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(save, bottom, bytes);
#endif
}

void switchEnd([[maybe_unused]] void *save, [[maybe_unused]] const void **bottom,
               [[maybe_unused]] size_t *bytes) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(save, bottom, bytes);
#endif
}

void enter() {
  switchEnd(nullptr, &home_stack, &home_stack_bytes);
  sim_task *self = machine->current;
  self->run(self->argument);
  self->state = State::kOver;
  if (self->joiner != nullptr) sim_wake(self->joiner);
  switchBegin(nullptr, home_stack, home_stack_bytes);
  setcontext(&machine->home);
}

void toHome() {
  sim_task *self = machine->current;
  switchBegin(&self->fake_stack, home_stack, home_stack_bytes);
  swapcontext(&self->context, &machine->home);
  switchEnd(self->fake_stack, &home_stack, &home_stack_bytes);
}

void toTask(sim_task *task) {
  machine->current = task;
  switchBegin(&machine->home_fake_stack, task->stack.get(), kStackBytes);
  swapcontext(&machine->home, &task->context);
  switchEnd(machine->home_fake_stack, nullptr, nullptr);
  machine->current = nullptr;
}

/** The one to go on, or nullptr if none can. */
sim_task *choose() {
  sim_task *best = nullptr;
  uint32_t seen = 0;
  for (const auto &task : machine->tasks) {
    if (task->state != State::kRunnable) continue;
    const bool better =
        machine->strategy == 0
            ? std::uniform_int_distribution<uint32_t>(0, seen)(machine->random) == 0
            : best == nullptr || task->priority > best->priority;
    if (better) best = task.get();
    seen++;
  }
  return best;
}

/** Nobody can run: lets time pass. Returns false if there is nothing to wait for. */
bool passTime() {
  int64_t next = SIM_NEVER;
  for (const auto &task : machine->tasks)
    if (task->state == State::kBlocked) next = std::min(next, task->deadline);
  for (const auto &timer : machine->timers) next = std::min(next, timer.when);
  if (next == SIM_NEVER) return false;
  machine->now = std::max(machine->now, next);
  for (const auto &task : machine->tasks) {
    if (task->state == State::kBlocked && task->deadline <= machine->now) {
      task->state = State::kRunnable;
      task->woken = false;
    }
  }
  std::vector<Timer> due;
  std::erase_if(machine->timers, [&](const Timer &timer) {
    if (timer.when > machine->now) return false;
    due.push_back(timer);
    return true;
  });
  std::sort(due.begin(), due.end(), [](const Timer &a, const Timer &b) { return a.order < b.order; });
  for (const auto &timer : due) timer.run(timer.argument);
  return true;
}

void reap() {
  std::erase_if(machine->tasks, [](std::unique_ptr<sim_task> &task) {
    if (task->state != State::kOver || !task->detached) return false;
    spare_stacks.push_back(std::move(task->stack));
    return true;
  });
}

}  // namespace

void sim_run(uint64_t seed, unsigned int strategy, void (*run)(void *), void *argument) {
  auto owned = std::make_unique<Machine>();
  machine = owned.get();
  machine->seed = seed;
  machine->strategy = strategy;
  machine->random.seed(seed);
  for (unsigned int i = 0; i < strategy; i++) machine->changes.push_back(sim_random(kExpectedPoints));
  sim_task *first = sim_spawn("test", run, argument);
  while (first->state != State::kOver) {
    sim_task *next = choose();
    if (next == nullptr) {
      sim_check(passTime(), "nobody can run, and nothing will wake anybody");
      continue;
    }
    toTask(next);
    reap();
  }
  for (auto &task : machine->tasks) {
    sim_check(task->state == State::kOver, "%s is not over at the end", task->name.c_str());
    spare_stacks.push_back(std::move(task->stack));
  }
  machine = nullptr;
}

struct sim_task *sim_spawn(const char *name, void (*run)(void *), void *argument) {
  auto task = std::make_unique<sim_task>();
  task->name = name;
  task->run = run;
  task->argument = argument;
  task->priority = machine->random() | uint64_t{1} << 63;
  if (spare_stacks.empty()) {
    task->stack = std::make_unique<char[]>(kStackBytes);
  } else {
    task->stack = std::move(spare_stacks.back());
    spare_stacks.pop_back();
  }
  getcontext(&task->context);
  task->context.uc_stack.ss_sp = task->stack.get();
  task->context.uc_stack.ss_size = kStackBytes;
  task->context.uc_link = nullptr;
  makecontext(&task->context, enter, 0);
  machine->tasks.push_back(std::move(task));
  return machine->tasks.back().get();
}

void sim_join(struct sim_task *task) {
  task->joiner = sim_current();
  while (task->state != State::kOver) sim_block(SIM_NEVER);
  task->detached = true;
}

void sim_spawn_detached(const char *name, void (*run)(void *), void *argument) {
  sim_spawn(name, run, argument)->detached = true;
}

void sim_point(bool spinning) {
  if (machine->current == nullptr) return;
  machine->points++;
  if (machine->points > kMaxPoints) {
    for (const auto &task : machine->tasks)
      fprintf(stderr, "  %s: %s\n", task->name.c_str(), task->state == State::kRunnable ? "runs" : "waits");
    sim_fail(__FILE__, __LINE__, "the run does not end");
  }
  if (machine->strategy != 0) {
    const bool change = std::find(machine->changes.begin(), machine->changes.end(), machine->points) !=
                        machine->changes.end();
    if (!change && !spinning && choose() == machine->current) return;
    if (change || spinning) machine->current->priority = --machine->lowest;
  }
  toHome();
}

struct sim_task *sim_current(void) { return machine->current; }

bool sim_block(int64_t deadline) {
  sim_task *self = machine->current;
  self->state = State::kBlocked;
  self->deadline = deadline;
  self->woken = false;
  toHome();
  self->deadline = SIM_NEVER;
  return self->woken;
}

bool sim_wake(struct sim_task *task) {
  if (task->state != State::kBlocked) return false;
  task->state = State::kRunnable;
  task->woken = true;
  return true;
}

int64_t sim_now(void) { return machine->now; }

void sim_at(int64_t when, void (*run)(void *), void *argument) {
  machine->timers.push_back({when, machine->nr_timers++, run, argument});
}

void sim_cancel(void (*run)(void *), void *argument) {
  std::erase_if(machine->timers,
                [=](const Timer &timer) { return timer.run == run && timer.argument == argument; });
}

bool *sim_asleep(struct sim_task *task) { return &task->asleep; }

uint32_t sim_random(uint32_t bound) {
  return bound == 0 ? 0 : static_cast<uint32_t>(machine->random() % bound);
}

void sim_fail(const char *file, int line, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fprintf(stderr, "%s:%d: ", file, line);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  if (machine != nullptr)
    fprintf(stderr, "\n  in %s after %llu points; again: TMEMD_SEED=%llu TMEMD_STRATEGY=%u\n",
            machine->current != nullptr ? machine->current->name.c_str() : "the scheduler",
            static_cast<unsigned long long>(machine->points), static_cast<unsigned long long>(machine->seed),
            machine->strategy);
  abort();
}

void sim_lock_take(struct sim_lock *lock) {
  sim_point(false);
  while (lock->owner != nullptr) {
    sim_check(lock->owner != machine->current, "a lock is taken twice");
    sim_point(true);
  }
  lock->owner = machine->current;
}

bool sim_lock_try(struct sim_lock *lock) {
  sim_point(false);
  if (lock->owner != nullptr) return false;
  lock->owner = machine->current;
  return true;
}

void sim_lock_drop(struct sim_lock *lock) {
  sim_lock_assert(lock);
  lock->owner = nullptr;
  sim_point(false);
}

void sim_lock_assert(const struct sim_lock *lock) {
  sim_check(lock->owner == machine->current, "a lock is not held");
}
