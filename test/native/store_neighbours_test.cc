// Neighbouring pages put together: each is held as if it had been put by itself.
#include <doctest/doctest.h>

#include <random>
#include <vector>

#include "native/store_fixture.h"

using namespace tmemd;

namespace {

constexpr uint64_t kMiB = 1 << 20;

Store::PutResult putTogether(TestGuest& guest, const PageKey& first, const std::vector<Page>& pages) {
  for (size_t i = 0; i < pages.size(); i++) std::memcpy(guest.context.page(i), pages[i].data(), kPageBytes);
  return guest.store.put(guest.context, guest.id, first, static_cast<uint32_t>(pages.size()));
}

uint64_t sharedPages(TestGuest& guest) { return guest.store.guestCounters(guest.id).operations.sharedPages; }

}  // namespace

TEST_CASE("neighbours of every kind come back as they were put, from both kinds of pool") {
  Store store(storeOf(16 * kMiB));
  TestGuest guest(store, guestNamed("a"));
  const std::vector<Page> pages = {textPage(1), filledPage(0),          randomPage(2), filledPage(0x1122334455667788),
                                   textPage(3), filledPage(0xabababab), randomPage(4), textPage(1)};
  static_assert(kPutPagesMax == 8);
  for (PoolId pool : {guest.persistent, guest.ephemeral}) {
    for (uint32_t count = 1; count <= kPutPagesMax; count++) {
      const PageKey first = keyOf(pool, count, 62);  // across two leaves
      const Store::PutResult put = putTogether(guest, first, {pages.begin(), pages.begin() + count});
      CHECK(put.status == Status::kOk);
      CHECK(put.donePages == count);
      for (uint32_t i = 0; i < count; i++) CHECK(guest.holds(keyOf(pool, count, 62 + i), pages[i]));
      CHECK(guest.misses(keyOf(pool, count, 62 + count)));
    }
  }
  CHECK(store.checkInvariants() == "");
}

TEST_CASE("the last indexes of an object are neighbours too") {
  Store store(storeOf(8 * kMiB));
  TestGuest guest(store, guestNamed("a"));
  CHECK(putTogether(guest, guest.p(1, 0xfffffffe), {textPage(1), textPage(2)}).donePages == 2);
  CHECK(guest.holds(guest.p(1, 0xfffffffe), textPage(1)));
  CHECK(guest.holds(guest.p(1, 0xffffffff), textPage(2)));
  CHECK(guest.misses(guest.p(1, 0)));
}

TEST_CASE("neighbours share what is there and what they have among themselves, whatever the hashes say") {
  for (bool weak : {false, true}) {
    CAPTURE(weak);
    StoreOptions options = storeOf(8 * kMiB);
    options.weakHashForTest = weak;
    Store store(options);
    TestGuest guest(store, guestNamed("a"));
    REQUIRE(guest.put(guest.p(1, 0), textPage(1)) == Status::kOk);
    CHECK(putTogether(guest, guest.p(2, 0), {textPage(1), textPage(2), textPage(2), textPage(1)}).donePages == 4);
    CHECK(sharedPages(guest) == 3);
    CHECK(store.checkInvariants() == "");
    CHECK(guest.flush(guest.p(1, 0)) == Status::kOk);
    const uint64_t seeds[] = {1, 2, 2, 1};
    for (uint32_t i = 0; i < 4; i++) CHECK(guest.holds(guest.p(2, i), textPage(seeds[i])));
    CHECK(guest.flush(guest.p(2, 0), 4) == Status::kOk);
    CHECK(store.counters().dataBytes == 0);
    CHECK(store.checkInvariants() == "");
  }
}

TEST_CASE("neighbours that change places keep their content") {
  Store store(storeOf(8 * kMiB));
  TestGuest guest(store, guestNamed("a"));
  std::vector<Page> pages = {textPage(1), textPage(2), randomPage(3), textPage(4)};
  for (int round = 0; round < 8; round++) {
    CHECK(putTogether(guest, guest.p(1, 0), pages).donePages == 4);
    for (uint32_t i = 0; i < 4; i++) CHECK(guest.holds(guest.p(1, i), pages[i]));
    CHECK(store.checkInvariants() == "");
    std::rotate(pages.begin(), pages.begin() + 1, pages.end());
  }
}

TEST_CASE("a full reserve takes neighbours that change places, and of any content") {
  constexpr uint32_t kPages = 64;
  GuestOptions options = guestNamed("a");
  options.persistentReservePages = kPages;
  options.persistentLimitPages = kPages;
  Store store(storeOf(4 * kMiB));
  TestGuest guest(store, options);
  constexpr uint64_t kSeed = 20261121;
  CAPTURE(kSeed);
  std::mt19937_64 random(kSeed);
  std::vector<uint64_t> held(kPages);
  for (uint32_t step = 0; step < 4000; step++) {
    const uint32_t at = static_cast<uint32_t>(random() % (kPages / kPutPagesMax)) * kPutPagesMax;
    std::vector<Page> pages;
    for (uint32_t i = 0; i < kPutPagesMax; i++) {
      // Half of them from elsewhere in the reserve.
      held[at + i] = random() % 2 ? held[random() % kPages] : step + i;
      pages.push_back(held[at + i] % 3 ? randomPage(held[at + i]) : textPage(held[at + i]));
    }
    REQUIRE(putTogether(guest, guest.p(1, at), pages).donePages == kPutPagesMax);
    REQUIRE(guest.holds(guest.p(1, at + step % kPutPagesMax), pages[step % kPutPagesMax]));
  }
  CHECK(store.checkInvariants() == "");
}

TEST_CASE("the first page that is refused ends it, and what was found for the others is let go of") {
  GuestOptions options = guestNamed("a");
  options.persistentLimitPages = 3;
  Store store(storeOf(8 * kMiB));
  TestGuest guest(store, options);
  REQUIRE(guest.put(guest.p(1, 0), textPage(1)) == Status::kOk);
  const Store::PutResult put =
      putTogether(guest, guest.p(2, 0), {textPage(2), textPage(1), textPage(1), textPage(1)});
  CHECK(put.status == Status::kRefused);
  CHECK(put.donePages == 2);
  CHECK(guest.misses(guest.p(2, 2)));
  CHECK(guest.misses(guest.p(2, 3)));
  CHECK(store.checkInvariants() == "");
  CHECK(guest.flush(guest.p(2, 0), 4) == Status::kOk);
  CHECK(guest.flush(guest.p(1, 0)) == Status::kOk);
  CHECK(store.counters().dataBytes == 0);
  CHECK(store.checkInvariants() == "");
}

TEST_CASE("neighbours for a guest, session or pool that is not there leave no trace") {
  Store store(storeOf(8 * kMiB));
  TestGuest guest(store, guestNamed("a"));
  CHECK(putTogether(guest, keyOf(60, 1, 0), {textPage(1), textPage(2)}).status == Status::kNoPool);
  store.dropPools(guest.id);
  CHECK(putTogether(guest, guest.p(1, 0), {textPage(1), textPage(2)}).status == Status::kNoSession);
  CHECK(store.counters().dataBytes == 0);
  CHECK(store.checkInvariants() == "");
}
