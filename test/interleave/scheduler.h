// Runs a few threads of the engine on one thread of the kernel, so that which of them goes on is chosen.
//
// A thread is a *fiber*: a stack of its own, switched by hand. It goes on until it comes to a point
// (engine/interleave.h). A *step* is the way from one scheduling point to the next, counted over all
// fibers. At each the schedule may change to another fiber, which is a *preemption*; where a fiber
// ends or waits the next one in turn goes on. So a few numbers say all that happens: a schedule is a
// list of preemptions, and given the same list and the same memory to begin with it runs the same again.
//
// A schedule may end with a *kill*: the fibers are left where they stand, before one of the stores that
// somebody counts (arena_stores.h), and none of them ever goes on.
#ifndef TMEMD_TEST_INTERLEAVE_SCHEDULER_H_
#define TMEMD_TEST_INTERLEAVE_SCHEDULER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace interleave {

inline constexpr uint32_t kThreadsMax = 4;
inline constexpr uint32_t kPreemptionsMax = 8;

struct Preemption {
  uint32_t step;
  uint32_t thread;
};

struct Schedule {
  std::array<Preemption, kPreemptionsMax> at{};  // by rising step
  uint32_t count = 0;
  uint32_t killBeforeStore = UINT32_MAX;  // its number, from 0; beyond the last: no kill
  void add(uint32_t step, uint32_t thread) { at[count++] = {step, thread}; }
  std::span<const Preemption> preemptions() const { return {at.data(), count}; }
};

struct RunResult {
  uint32_t steps = 0;
  uint32_t stores = 0;                // that were counted
  uint32_t storesBeforePreemption = 0;  // before the last one
  bool killed = false;
  const char* stuck = nullptr;  // why the run was given up
};

// Which thread was about to go on at each step of the run before, up to a most.
inline constexpr uint32_t kTraceMax = 4096;
std::span<const uint8_t> trace();

// What thread number `thread` does.
using Body = void (*)(uint32_t thread);

// Each body once, as the schedule says. Not to be called by a fiber.
RunResult run(Body body, uint32_t threads, const Schedule& schedule);

// Of the run that goes on: grows with every step. For the order of what fibers did.
uint64_t now();
// Is the caller a fiber?
bool inFiber();
// What the kernel's random numbers are made of: the same again gives the same numbers.
extern uint64_t randomState;
// A store is about to be made; outside a run, nothing.
void storePoint();
// Waits as a fiber, when one calls it.
void waitForOthers();

}  // namespace interleave

#endif  // TMEMD_TEST_INTERLEAVE_SCHEDULER_H_
