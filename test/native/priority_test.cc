// A real-time thread that needs what an ordinary one has: on one processor, with the lowest priority
// for the holder and a third thread that would use up the processor, so that whoever waits by
// spinning, by yielding or by sleeping alone waits for very long. Nothing here depends on the wall clock:
// the waiter's own processor time says whether it spun, the third thread's whether the holder was lent
// the waiter's priority.
#include <doctest/doctest.h>

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <thread>
#include <vector>

#include "engine/span_table.h"
#include "engine/sync.h"

using namespace tmemd;

namespace {

uint64_t processorUs(clockid_t clock) {
  timespec at;
  clock_gettime(clock, &at);
  return static_cast<uint64_t>(at.tv_sec) * 1'000'000 + static_cast<uint64_t>(at.tv_nsec) / 1000;
}

bool becomeRealTime() {
  sched_param parameters{};
  parameters.sched_priority = sched_get_priority_min(SCHED_RR);
  return pthread_setschedparam(pthread_self(), SCHED_RR, &parameters) == 0;
}

// Real-time scheduling is granted here, and priorities are inherited.
bool canLend() {
  bool granted = false;
  std::thread([&] { granted = becomeRealTime(); }).join();
  int error;
  return granted && kernelInheritsPriority(&error);
}

void stayOnOneProcessor() {
  cpu_set_t allowed, one;
  sched_getaffinity(0, sizeof allowed, &allowed);
  int first = 0;
  while (!CPU_ISSET(first, &allowed)) first++;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  sched_setaffinity(0, sizeof one, &one);
}

struct Semaphore {
  Semaphore() { sem_init(&semaphore, 0, 0); }
  void post() { sem_post(&semaphore); }
  void wait() {
    while (sem_wait(&semaphore) != 0) {
    }
  }
  sem_t semaphore;
};

struct Cost {
  uint64_t waiterUs = 0;  // processor time of the one that waits, the most of all rounds
  uint64_t thirdUs = 0;   // of the third thread, from before one wait until after it, the most of all rounds
  int contended = 0;      // rounds in which the holder had not let go when the waiter came
};

// `hold` takes something, `letGo` gives it back, `need` waits for it.
Cost measure(const std::function<void()>& hold, const std::function<void()>& letGo, const std::function<void()>& need) {
  constexpr int kRounds = 30;
  constexpr uint64_t kWorkUs = 300;  // of the holder, after the waiter began to wait
  Cost cost;
  std::atomic<bool> over{false};
  std::atomic<bool> held{false};
  Semaphore begin, taken, ended;
  std::thread third([&] {
    stayOnOneProcessor();
    while (!over.load(std::memory_order_relaxed)) {
    }
  });
  clockid_t thirdClock;
  pthread_getcpuclockid(third.native_handle(), &thirdClock);
  std::thread holder([&] {
    stayOnOneProcessor();
    setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), 19);
    for (int round = 0; round < kRounds; round++) {
      begin.wait();
      hold();
      held = true;
      taken.post();  // the waiter takes the processor here
      uint64_t until = processorUs(CLOCK_THREAD_CPUTIME_ID) + kWorkUs;
      while (processorUs(CLOCK_THREAD_CPUTIME_ID) < until) {
      }
      held = false;
      letGo();
    }
  });
  std::thread waiter([&] {
    stayOnOneProcessor();
    becomeRealTime();
    for (int round = 0; round < kRounds; round++) {
      begin.post();
      taken.wait();
      uint64_t mine = processorUs(CLOCK_THREAD_CPUTIME_ID);
      uint64_t thirds = processorUs(thirdClock);
      cost.contended += held;
      need();
      cost.waiterUs = std::max(cost.waiterUs, processorUs(CLOCK_THREAD_CPUTIME_ID) - mine);
      cost.thirdUs = std::max(cost.thirdUs, processorUs(thirdClock) - thirds);
    }
    ended.post();
  });
  waiter.join();
  holder.join();
  over = true;
  third.join();
  return cost;
}

// A spin before the sleep, a system call or two, under any sanitizer. Spinning costs until the kernel throttles
// real-time threads: 950,000.
constexpr uint64_t kMostUs = 5'000;

void checkLent(const Cost& cost) {
  REQUIRE(cost.contended > 0);
  CHECK(cost.waiterUs < kMostUs);
  CHECK(cost.thirdUs < kMostUs);
}

const bool kCanLend = canLend();

}  // namespace

TEST_CASE("who waits for a lock sleeps, and its holder runs before others" * doctest::skip(!kCanLend)) {
  SpinLock lock;
  checkLent(measure([&] { lock.lock(); }, [&] { lock.unlock(); }, [&] { SpinGuard guard(lock); }));
}

TEST_CASE("who waits outside a closed gate sleeps, and the closer runs before others" * doctest::skip(!kCanLend)) {
  Gate gate;
  checkLent(measure([&] { gate.close(); }, [&] { gate.open(); }, [&] { GateEntry entry(gate); }));
}

TEST_CASE("who closes a gate sleeps, and the background inside runs before others" * doctest::skip(!kCanLend)) {
  Gate gate;
  checkLent(measure([&] { REQUIRE(gate.tryEnterInBackground()); }, [&] { gate.leaveInBackground(); },
                    [&] { GateClosure closure(gate); }));
}

TEST_CASE("who reads a span that is being packed sleeps, and the packer runs before others" *
          doctest::skip(!kCanLend)) {
  SpanTable table(8 << 20, 1, -1);
  SpanNumber span = table.take(SpanKind::kShared, 1, nullptr);
  REQUIRE(span != 0);
  checkLent(measure([&] { REQUIRE(table.tryExclusive(span)); }, [&] { table.endExclusive(span); },
                    [&] {
                      table.pin(span);
                      table.unpin(span);
                    }));
  table.release(span, nullptr);
}

TEST_CASE("who closes a gate sleeps until the last operation inside has left") {
  Gate gate;
  std::atomic<int> inside{0};
  std::atomic<uint64_t> wrong{0};
  std::atomic<uint64_t> closures{0};
  std::atomic<bool> over{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; i++) {
    threads.emplace_back([&, i] {
      while (!over) {
        if (i == 0) {
          gate.enterInBackground();
        } else {
          gate.enter();
        }
        inside++;
        if (i == 1) sched_yield();
        inside--;
        i == 0 ? gate.leaveInBackground() : gate.leave();
      }
    });
  }
  for (int i = 0; i < 2; i++) {
    threads.emplace_back([&] {
      while (!over) {
        GateClosure closure(gate);
        wrong += inside != 0;
        closures++;
      }
    });
  }
  while (closures < 3000) sched_yield();
  over = true;
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
}

TEST_CASE("a lock keeps many threads apart, whoever the kernel hands it to") {
  SpinLock lock;
  uint64_t count = 0;
  std::vector<std::thread> threads;
  constexpr uint64_t kEach = 20'000;
  for (int i = 0; i < 6; i++) {
    threads.emplace_back([&, i] {
      if (i % 2) becomeRealTime();
      for (uint64_t n = 0; n < kEach; n++) {
        SpinGuard guard(lock);
        count++;
        if (n % 1000 == 0) sched_yield();  // so that others come to sleep
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(count == 6 * kEach);
}

TEST_CASE("a child process takes its locks by its own number") {
  SpinLock lock;
  { SpinGuard guard(lock); }
  const uint32_t parent = threadId();
  pid_t child = fork();
  if (child == 0) _exit(threadId() == static_cast<uint32_t>(getpid()) && threadId() != parent ? 0 : 1);
  int status = -1;
  waitpid(child, &status, 0);
  CHECK(status == 0);
}
