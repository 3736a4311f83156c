// What a guest's long control operations leave to others: room, counters and their own pace.
#include <doctest/doctest.h>

#include <time.h>

#include <atomic>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "native/store_fixture.h"

using namespace tmemd;

namespace {

constexpr uint64_t kMiB = 1 << 20;

double processorMs() {
  timespec at;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
  return static_cast<double>(at.tv_sec) * 1e3 + static_cast<double>(at.tv_nsec) / 1e6;
}

// One page an object, which is most work to look through; returns how many were kept.
uint64_t fillWithObjects(TestGuest& guest, PoolId pool, uint64_t count) {
  Page same = filledPage(0);
  uint64_t held = 0;
  while (held < count && guest.put(keyOf(pool, held, 0), same) == Status::kOk) held++;
  return held;
}

// Repeats `operation`, begun anew each time by `prepare`, until `during()`, which is called while it runs, was true once.
bool seenDuring(const std::function<void()>& prepare, const std::function<void()>& operation,
                const std::function<bool()>& during) {
  constexpr int kRoundsMax = 30;  // the other thread may get no processor in some of them
  for (int round = 0; round < kRoundsMax; round++) {
    prepare();
    std::atomic<bool> begun{false}, over{false};
    std::thread thread([&] {
      begun = true;
      operation();
      over = true;
    });
    while (!begun) std::this_thread::yield();
    bool seen = false;
    while (!over && !seen) seen = during();
    thread.join();
    if (seen) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("no put of others is refused while a guest that could yield sends control requests") {
  Store store(storeOf(48 * kMiB));
  TestGuest hog(store, guestNamed("hog"));
  TestGuest victim(store, guestNamed("victim"));
  fillWithObjects(hog, hog.ephemeral, 50'000);
  SpanTable& table = StoreTestAccess::impl(store).table;
  for (uint32_t i = 0; table.usage().freeFrames > 2; i++) hog.put(hog.e(1ull << 40, i), randomPage(i));
  std::atomic<bool> over{false};
  std::atomic<uint64_t> pairs{0};
  std::thread control([&] {
    while (!over) {
      PoolId pool;
      if (store.createPool(hog.id, true, &pool) == Status::kOk) store.destroyPool(hog.id, pool);
      pairs++;
    }
  });
  while (pairs < 10) std::this_thread::yield();
  uint64_t refused = 0;
  constexpr uint64_t kPuts = 4000;
  for (uint64_t i = 0; i < kPuts; i++) refused += victim.put(victim.p(9, i % 1500), randomPage(1'000'000 + i)) != Status::kOk;
  over = true;
  control.join();
  CHECK(refused == 0);
  CHECK(store.pagesHeld(victim.id) == 1500);
  CHECK(store.checkInvariants() == "");
}

TEST_CASE("of neighbouring pages put together those behind a closed gate find room as well") {
  Store store(storeOf(16 * kMiB));
  TestGuest hog(store, guestNamed("hog"));
  TestGuest victim(store, guestNamed("victim"));
  SpanTable& table = StoreTestAccess::impl(store).table;
  for (uint32_t i = 0; table.usage().freeFrames > 1; i++) hog.put(hog.e(1, i), randomPage(i));
  std::atomic<bool> over{false};
  std::atomic<uint64_t> failed{0};
  std::thread putter([&] {
    for (uint32_t at = 0; at < 1024; at += kPutPagesMax) {
      for (uint32_t i = 0; i < kPutPagesMax; i++) {
        std::memcpy(victim.context.page(i), randomPage(5000 + at + i).data(), kPageBytes);
      }
      Store::PutResult result = store.put(victim.context, victim.id, victim.p(1, at), kPutPagesMax);
      failed += result.status != Status::kOk || result.donePages != kPutPagesMax;
    }
    over = true;
  });
  // Closed until a put looks for room, again and again.
  std::atomic<uint64_t>& attempts = StoreTestAccess::impl(store).place(victim.id)->guest->evictionAttempts;
  while (!over) {
    GateClosure closure(StoreTestAccess::impl(store).place(hog.id)->gate);
    // Not for ever: the put may be waiting for this very gate since the closure before.
    uint64_t before = attempts;
    for (int looks = 0; looks < 1000 && !over && attempts == before; looks++) std::this_thread::yield();
  }
  putter.join();
  CHECK(failed == 0);
  for (uint32_t at = 0; at < 1024; at++) REQUIRE(victim.holds(victim.p(1, at), randomPage(5000 + at)));
  OperationCounters counters = victim.counters();
  CHECK(counters.putsTotal == 1024);
  CHECK(counters.putsGoodTotal == 1024);
  CHECK(store.checkInvariants() == "");
}

TEST_CASE("an eviction goes on past a span in which nothing yields") {
  Store store(storeOf(8 * kMiB));
  TestGuest guest(store, guestNamed("a"));
  Bin& bin = StoreTestAccess::impl(store).place(guest.id)->guest->ephemeralBin;
  // Blocks of puts that are still in progress: no key names them.
  std::vector<Loc> inProgress;
  for (uint64_t i = 0; i < 32; i++) {
    Page page = randomPage(i);
    inProgress.push_back(bin.store({page.data(), kPageBytes, Codec::kPlain, 0}));
    REQUIRE(inProgress.back() != 0);
  }
  for (uint32_t i = 0; i < 4000; i++) REQUIRE(guest.put(guest.e(1, i), randomPage(100 + i)) == Status::kOk);
  for (uint32_t i = 0; i < 1000; i++) REQUIRE(guest.put(guest.p(1, i), randomPage(9000 + i)) == Status::kOk);
  for (Loc loc : inProgress) bin.unref(loc);
  CHECK(store.checkInvariants() == "");
}

TEST_CASE("counters are read in the middle of a RESET, a pool's end and a guest's") {
  Store store(storeOf(256 * kMiB));
  constexpr uint64_t kObjects = 100'000;
  TestGuest guest(store, guestNamed("a"));
  uint64_t held = 0;
  auto partly = [&](uint64_t pages) { return pages > 0 && pages < held; };
  SUBCASE("RESET") {
    CHECK(seenDuring(
        [&] {
          store.createPool(guest.id, true, &guest.persistent);
          held = fillWithObjects(guest, guest.persistent, kObjects);
        },
        [&] { store.reset(guest.id); },
        [&] {
          bool some = partly(store.guestCounters(guest.id).persistentPages);
          // Its pools went before its first page.
          if (some) CHECK(store.poolCounters(guest.id).empty());
          return some;
        }));
  }
  SUBCASE("POOL_DESTROY") {
    CHECK(seenDuring(
        [&] {
          store.createPool(guest.id, true, &guest.persistent);
          held = fillWithObjects(guest, guest.persistent, kObjects);
        },
        [&] { CHECK(store.destroyPool(guest.id, guest.persistent) == Status::kOk); },
        [&] { return partly(store.guestCounters(guest.id).persistentPages); }));
  }
  SUBCASE("a guest's removal") {
    std::unique_ptr<TestGuest> going;
    CHECK(seenDuring(
        [&] {
          going = std::make_unique<TestGuest>(store, guestNamed("going"));
          held = fillWithObjects(*going, going->persistent, kObjects);
        },
        [&] { store.removeGuest(going->id); },
        [&] { return partly(store.counters().logicalBytes / kPageBytes) && !store.guestNamed("going"); }));
  }
  CHECK(store.pagesHeld(guest.id) == 0);
  CHECK(store.checkInvariants() == "");
}

TEST_CASE("everything adds up in the middle of a RESET, with others' puts that evict what it drops") {
  Store store(storeOf(32 * kMiB));
  TestGuest hog(store, guestNamed("hog"));
  TestGuest other(store, guestNamed("other"));
  std::atomic<bool> over{false};
  std::atomic<bool> ending{false};  // a session: while it is checked all the time no put gets far
  std::atomic<uint64_t> wrong{0}, checks{0};
  std::thread checker([&] {
    while (!over) {
      if (!ending) {
        std::this_thread::yield();
        continue;
      }
      wrong += !store.checkInvariants().empty();
      checks++;
    }
  });
  std::thread putter([&] {
    for (uint32_t i = 0; !over; i++) wrong += other.put(other.p(1, i % 500), randomPage(i)) != Status::kOk;
  });
  for (int round = 0; round < 10; round++) {
    for (uint32_t i = 0; i < 2000; i++) hog.put(hog.e(i, 0), randomPage(i));
    for (uint32_t i = 0; i < 500; i++) hog.put(hog.p(i, i), textPage(i));
    ending = true;
    for (uint64_t before = checks; checks == before;) std::this_thread::yield();
    store.reset(hog.id);
    ending = false;
    wrong += store.pagesHeld(hog.id) != 0;
    // Ids begin again, and name nothing of before.
    store.createPool(hog.id, true, &hog.persistent);
    store.createPool(hog.id, false, &hog.ephemeral);
    wrong += hog.persistent != 0 || hog.ephemeral != 1;
    wrong += !hog.misses(hog.e(3, 0)) || !hog.misses(hog.p(4, 4));
  }
  over = true;
  checker.join();
  putter.join();
  CHECK(wrong == 0);
  CHECK(store.checkInvariants() == "");
}

TEST_CASE("a session's end costs what its pages cost, however many pools it has") {
  double ms[2];
  for (int many : {0, 1}) {
    Store store(storeOf(64 * kMiB));
    GuestOptions options = guestNamed("a");
    options.maxPools = 256;
    TestGuest guest(store, options);
    PoolId last = guest.persistent;
    for (int i = 0; many && i < 254; i++) REQUIRE(store.createPool(guest.id, true, &last) == Status::kOk);
    REQUIRE(fillWithObjects(guest, last, 60'000) == 60'000);
    double begun = processorMs();
    store.reset(guest.id);
    ms[many] = processorMs() - begun;
  }
  CAPTURE(ms[0]);
  CAPTURE(ms[1]);
  CHECK(ms[1] < 4 * ms[0] + 2);
}

TEST_CASE("a flush of very many pages lets a control operation of its guest through") {
  Store store(storeOf(64 * kMiB));
  TestGuest guest(store, guestNamed("a"));
  constexpr uint32_t kPages = 400'000;
  Page same = filledPage(0);
  CHECK(seenDuring(
      [&] {
        for (uint32_t i = 0; i < kPages; i++) REQUIRE(guest.put(guest.p(1, i), same) == Status::kOk);
      },
      [&] { CHECK(store.flushObject(guest.context, guest.id, guest.persistent, {{1, 0, 0}}) == Status::kOk); },
      [&] {
        store.updateGuest(guest.id, {});
        uint64_t left = store.pagesHeld(guest.id);
        return left > 0 && left < kPages;
      }));
  OperationCounters counters = guest.counters();
  CHECK(counters.objectFlushesTotal == counters.objectFlushesFoundTotal);
  CHECK(store.pagesHeld(guest.id) == 0);
  CHECK(store.checkInvariants() == "");
}
