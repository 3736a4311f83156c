// Whether there is a processor to poll on. How many threads there are is made up.
#include "device/scheduling.h"

#include <doctest/doctest.h>

#include <sched.h>
#include <time.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "native/store_fixture.h"

using namespace tmemd;

namespace {

constexpr int kProcessors = 2;
constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kEnough = FreeProcessors::kEnoughValidNs;
constexpr uint64_t kTooMany = FreeProcessors::kTooManyValidNs;

int runnable = 0;
int readings = 0;

int readRunnable() {
  readings++;
  return runnable;
}

struct Watch {
  explicit Watch(int threads) {
    readings = 0;
    runnable = threads;
  }
  bool enough(uint64_t nowNs, int waiting = 0) { return free.enough(nowNs, waiting); }
  FreeProcessors free{kProcessors, readRunnable};
};

}  // namespace

TEST_CASE("a reading that found a processor for everyone is good for two milliseconds") {
  Watch watch(kProcessors);
  CHECK(watch.enough(kMs));
  runnable = kProcessors + 1;
  CHECK(watch.enough(kMs + kEnough - 1));
  CHECK(readings == 1);
  CHECK(!watch.enough(kMs + kEnough));
  CHECK(readings == 2);
}

TEST_CASE("one that found too many threads is sooner taken again") {
  Watch watch(kProcessors + 1);
  CHECK(!watch.enough(kMs));
  runnable = kProcessors;
  CHECK(!watch.enough(kMs + kTooMany - 1));
  CHECK(readings == 1);
  CHECK(watch.enough(kMs + kTooMany));
  CHECK(readings == 2);
}

TEST_CASE("a thread that may wait is not one too many") {
  Watch watch(kProcessors + 1);
  CHECK(watch.enough(kMs, 1));
  CHECK(!watch.enough(kMs, 0));
  CHECK(readings == 1);
}

TEST_CASE("the store's background tells when it sleeps and when its time has come") {
  Store store(storeOf(4 << 20));
  bool seen[2] = {false, false};
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (!(seen[0] && seen[1]) && std::chrono::steady_clock::now() < deadline) seen[store.backgroundAwake()] = true;
  CHECK(seen[0]);
  CHECK(seen[1]);
}

TEST_CASE("a store without a background is never told to have one awake") {
  StoreOptions options = storeOf(4 << 20);
  options.backgroundSettling = false;
  Store store(options);
  CHECK(!store.backgroundAwake());
}

TEST_CASE("a worker that always has work is a real-time thread for four fifths of the time where others wait") {
  RealTimeShare share;
  uint64_t realTimeMs = 0;
  uint64_t now = 1000 * kMs;
  for (uint64_t ms = 0; ms < 1000; ms++, now += kMs) realTimeMs += share.mayBeRealTime(now, ms * kMs, true);
  CHECK(realTimeMs > 760);
  CHECK(realTimeMs < 840);
}

TEST_CASE("a worker keeps its priority where there is a processor for everyone, or it uses less") {
  RealTimeShare alone, half;
  uint64_t now = 1000 * kMs;
  for (uint64_t ms = 0; ms < 1000; ms++, now += kMs) {
    REQUIRE(alone.mayBeRealTime(now, ms * kMs, false));
    REQUIRE(half.mayBeRealTime(now, ms * kMs / 2, true));
  }
}

TEST_CASE("a worker that never runs out of work is a real-time thread for four fifths of the time at most") {
  // Beside threads that never sleep, one more than there are processors.
  std::atomic<bool> over{false};
  std::vector<std::thread> others;
  for (unsigned i = 0; i <= std::thread::hardware_concurrency(); i++) {
    others.emplace_back([&] {
      while (!over.load(std::memory_order_relaxed)) {
      }
    });
  }
  auto ns = [](clockid_t clock) {
    timespec at;
    clock_gettime(clock, &at);
    return static_cast<uint64_t>(at.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(at.tv_nsec);
  };
  std::string refusal;
  bool refused = false;
  uint64_t realTimeNs = 0, ordinaryNs = 0, tookNs = 0;
  std::thread worker([&] {
    refused = requestLowLatency(refusal) != LatencyClass::kRoundRobin;
    if (refused) return;
    RealTimeTurns turns(true);
    const uint64_t begun = ns(CLOCK_MONOTONIC);
    uint64_t now = ns(CLOCK_THREAD_CPUTIME_ID);
    while (realTimeNs + ordinaryNs < 1500 * kMs) {
      const uint64_t from = now;
      while (now < from + 20'000) now = ns(CLOCK_THREAD_CPUTIME_ID);  // a round
      ((sched_getscheduler(0) & ~SCHED_RESET_ON_FORK) == SCHED_OTHER ? ordinaryNs : realTimeNs) += now - from;
      turns.worked();
    }
    tookNs = ns(CLOCK_MONOTONIC) - begun;
  });
  worker.join();
  over = true;
  for (std::thread& thread : others) thread.join();
  if (refused) {
    MESSAGE("skipped: " << refusal);
    return;
  }
  CAPTURE(realTimeNs / kMs);
  CAPTURE(ordinaryNs / kMs);
  CAPTURE(tookNs / kMs);
  // And one window that was begun.
  CHECK(realTimeNs <= tookNs / 5 * 4 + 100 * kMs);
  CHECK(ordinaryNs > 0);
}
