// Whether there is a processor to poll on. How many threads there are is made up.
#include "device/scheduling.h"

#include <doctest/doctest.h>

#include <chrono>

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
