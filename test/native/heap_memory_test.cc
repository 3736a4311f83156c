// Memory outside the arena is given back when the pages are gone.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "native/fast_clock.h"
#include "native/store_fixture.h"

using namespace tmemd;

namespace {

constexpr uint64_t kMiB = 1 << 20;

// Short as a block.
Page uniquePage(uint64_t number) {
  Page page{};
  for (size_t i = 0; i < 4; i++) {
    uint64_t word = (number + 1) * 0x9e3779b97f4a7c15u + i;
    std::memcpy(&page[512 * i], &word, sizeof word);
  }
  return page;
}

uint64_t borrowed(Store& store) { return StoreTestAccess::impl(store).table.usage().borrowedBytes; }

}  // namespace

TEST_CASE("a guest's session leaves no heads behind when it ends") {
  StoreOptions options = storeOf(16 * kMiB);
  options.backgroundSettling = false;
  Store store(options);
  uint64_t free = StoreTestAccess::impl(store).table.usage().freeFrames;
  uint64_t most = 0;
  std::vector<std::unique_ptr<TestGuest>> guests;
  for (int round = 0; round < 6; round++) {
    guests.push_back(std::make_unique<TestGuest>(store, guestNamed("g" + std::to_string(round))));
    TestGuest& guest = *guests.back();
    uint64_t held = 0;
    Page same = filledPage(0);
    // One page an object: most heads.
    while (guest.put(guest.p(held, 0), same) == Status::kOk) held++;
    CHECK(held > 20'000);
    most = std::max(most, borrowed(store));
    SUBCASE("by RESET") { store.reset(guest.id); }
    SUBCASE("by the pool's end") { REQUIRE(store.destroyPool(guest.id, guest.persistent) == Status::kOk); }
    SUBCASE("by flushes") {
      for (uint64_t i = 0; i < held; i++) guest.flush(guest.p(i, 0));
    }
    REQUIRE(store.pagesHeld(guest.id) == 0);
    // Some heads for each of its sixteen tables.
    CHECK(borrowed(store) <= guests.size() * 16 * 256);
    REQUIRE(store.checkInvariants() == "");
  }
  CHECK(most > kMiB / 4);
  CHECK(StoreTestAccess::impl(store).table.usage().freeFrames + 4 >= free);
}

TEST_CASE("the background gives the index back after pages came and went") {
  FastClock clock;
  Store store(storeOf(64 * kMiB, &clock));
  TestGuest guest(store, guestNamed("a"));
  constexpr uint32_t kPages = 30'000;
  for (uint32_t i = 0; i < kPages; i++) REQUIRE(guest.put(guest.p(1, i), uniquePage(i)) == Status::kOk);
  uint64_t full = borrowed(store);
  CHECK(full > kPages * 8);
  SUBCASE("all went") {
    guest.flush(guest.p(1, 0), kPages);
    clock.pass(std::chrono::seconds(5));
    CHECK(borrowed(store) < 8192);
  }
  SUBCASE("most went, and what is left is still found") {
    constexpr uint32_t kLeft = 3'000;
    guest.flush(guest.p(1, kLeft), kPages - kLeft);
    clock.pass(std::chrono::seconds(5));
    CHECK(borrowed(store) < full / 5);
    for (uint32_t i = 0; i < kLeft; i++) REQUIRE(guest.put(guest.p(2, i), uniquePage(i)) == Status::kOk);
    // A hint in a thousand is lost.
    CHECK(guest.counters().sharedPages > kLeft - kLeft / 50);
  }
  CHECK(store.checkInvariants() == "");
}

TEST_CASE("a guest whose reserve has cells but no heads has others' pages evicted, before its chains are long") {
  StoreOptions options = storeOf(64 * kMiB);
  options.backgroundSettling = false;
  Store store(options);
  auto& impl = StoreTestAccess::impl(store);
  constexpr uint32_t kObjects = 8000;
  GuestOptions reserved = guestNamed("a");
  reserved.persistentReservePages = kObjects;
  TestGuest guest(store, reserved);
  TestGuest hog(store, guestNamed("hog"));
  Page same = filledPage(0);
  for (uint32_t i = 0; impl.table.usage().freeFrames > 0; i++) hog.put(hog.e(1, i), randomPage(i));
  while (impl.table.borrow(64)) {
  }
  PageMap& map = StoreTestAccess::guest(store, guest.id).map;
  uint64_t taken = impl.table.usage().borrowedBytes - impl.index.chargedBytes() - map.chargedBytes() -
                   StoreTestAccess::guest(store, hog.id).map.chargedBytes();
  for (uint32_t i = 0; i < kObjects; i++) REQUIRE(guest.put(guest.p(i, 0), same) == Status::kOk);
  for (uint32_t i = 0; i < PageMap::kShards; i++) {
    PageMap::Shard& shard = map.shard(i);
    CHECK(shard.objectCount() <= shard.objectBuckets() * ChainTable::kCellsPerHeadMost + 1);
    CHECK(shard.leafCount() <= shard.leafBuckets() * ChainTable::kCellsPerHeadMost + 1);
  }
  impl.table.giveBack(taken);
  CHECK(store.checkInvariants() == "");
}
