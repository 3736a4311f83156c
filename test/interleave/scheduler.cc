#include "interleave/scheduler.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>

#include "engine/interleave.h"

namespace interleave {

namespace {

constexpr size_t kStackBytes = 256 * 1024;
// A run that is longer does not end.
constexpr uint32_t kStepsMax = 200'000;
constexpr uint32_t kWaitsMax = 20'000;  // without a step between them

struct Fiber {
  void* stackPointer = nullptr;
  std::byte* stack = nullptr;
  bool ended = true;
};

std::array<Fiber, kThreadsMax> fibers;
void* mainStackPointer;
uint32_t current;
uint32_t threadCount;
bool running = false;
Body body;
const Schedule* schedule;
uint32_t nextPreemption;
uint32_t steps;
uint32_t waits;
uint32_t stores;
uint32_t storesBeforePreemption;
bool killed;
const char* stuck;
std::array<uint8_t, kTraceMax> traced;
uint64_t clock_ = 0;

extern "C" void interleaveSwitch(void** save, void* load);
// The callee-saved registers stay on the stack that is left.
asm(R"(
.text
.globl interleaveSwitch
.type interleaveSwitch, @function
interleaveSwitch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size interleaveSwitch, .-interleaveSwitch
)");

void switchTo(uint32_t thread) {
  if (thread == current) return;
  uint32_t from = current;
  current = thread;
  interleaveSwitch(&fibers[from].stackPointer, fibers[thread].stackPointer);
}

// The next in turn that has not ended; the caller itself when there is none.
uint32_t nextInTurn() {
  for (uint32_t i = 1; i < threadCount; i++) {
    uint32_t candidate = (current + i) % threadCount;
    if (!fibers[candidate].ended) return candidate;
  }
  return current;
}

// The fibers stay where they are. The next run begins their stacks anew.
[[noreturn]] void leaveAll() {
  interleaveSwitch(&fibers[current].stackPointer, mainStackPointer);
  std::abort();
}

[[noreturn]] void giveUp(const char* why) {
  stuck = why;
  leaveAll();
}

void enter() {
  body(current);
  fibers[current].ended = true;
  uint32_t next = nextInTurn();
  if (next == current) {
    interleaveSwitch(&fibers[current].stackPointer, mainStackPointer);
  } else {
    switchTo(next);
  }
  std::abort();
}

void prepare(Fiber& fiber) {
  if (!fiber.stack) {
    void* memory = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    fiber.stack = static_cast<std::byte*>(memory);
  }
  void** top = reinterpret_cast<void**>(fiber.stack + kStackBytes);
  *--top = nullptr;  // so that the stack is aligned as after a call
  *--top = reinterpret_cast<void*>(&enter);
  for (int i = 0; i < 6; i++) *--top = nullptr;
  fiber.stackPointer = top;
  fiber.ended = false;
}

}  // namespace

RunResult run(Body theBody, uint32_t threads, const Schedule& theSchedule) {
  body = theBody;
  schedule = &theSchedule;
  threadCount = threads;
  nextPreemption = steps = waits = stores = storesBeforePreemption = 0;
  killed = false;
  stuck = nullptr;
  for (uint32_t i = 0; i < threads; i++) prepare(fibers[i]);
  current = 0;
  running = true;
  interleaveSwitch(&mainStackPointer, fibers[0].stackPointer);
  running = false;
  return {steps, stores, storesBeforePreemption, killed, stuck};
}

std::span<const uint8_t> trace() { return {traced.data(), std::min(steps, kTraceMax)}; }

uint64_t now() { return ++clock_; }
bool inFiber() { return running; }

void storePoint() {
  if (!running) return;
  if (stores == schedule->killBeforeStore) {
    killed = true;
    leaveAll();
  }
  stores++;
}

void waitForOthers() {
  if (++waits > kWaitsMax) giveUp("every thread waits for another");
  switchTo(nextInTurn());
}

}  // namespace interleave

namespace tmemd {

void schedulingPoint() {
  using namespace interleave;
  if (!running) return;
  uint32_t step = steps++;
  waits = 0;
  if (step < kTraceMax) traced[step] = static_cast<uint8_t>(current);
  if (step > kStepsMax) giveUp("does not end");
  if (nextPreemption == schedule->count || schedule->at[nextPreemption].step != step) return;
  uint32_t thread = schedule->at[nextPreemption++].thread;
  storesBeforePreemption = stores;
  if (thread < threadCount && !fibers[thread].ended) switchTo(thread);
}

void waitPoint() {
  if (interleave::inFiber()) interleave::waitForOthers();
}

}  // namespace tmemd
