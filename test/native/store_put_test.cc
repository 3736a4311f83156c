// What a put makes of a page, whatever was put before it.
#include <doctest/doctest.h>

#include "native/store_fixture.h"

using namespace tmemd;

namespace {

constexpr uint64_t kMiB = 1 << 20;

}  // namespace

TEST_CASE("what compresses is compressed after pages that do not, and they are stored as they are") {
  Store store(storeOf(16 * kMiB));
  TestGuest guest(store, guestNamed("a"));
  for (uint32_t i = 0; i < 300; i++) {
    CHECK(guest.put(guest.p(1, i), randomPage(i)) == Status::kOk);
    // After one of them, and after several.
    if (i % 5 == 0) CHECK(guest.put(guest.p(2, i), textPage(i)) == Status::kOk);
  }
  CHECK(guest.counters().rawPages == 300);
  CHECK(guest.counters().compressedPages == 60);
  for (uint32_t i = 0; i < 300; i++) CHECK(guest.holds(guest.p(1, i), randomPage(i)));
  for (uint32_t i = 0; i < 300; i += 5) CHECK(guest.holds(guest.p(2, i), textPage(i)));
}

TEST_CASE("while the store grows its index does too, and duplicates are found") {
  Store store(storeOf(64 * kMiB));
  TestGuest guest(store, guestNamed("a"));
  constexpr uint32_t kPages = 6000;
  for (uint32_t copy = 1; copy <= 2; copy++) {
    for (uint32_t i = 0; i < kPages; i++) CHECK(guest.put(guest.p(copy, i), randomPage(i)) == Status::kOk);
  }
  // Buckets overflow: a few in a thousand are lost, which depends on the secret.
  CHECK(store.counters().dedupSavedPages > kPages - kPages / 10);
}

TEST_CASE("pages that come and go leave no index behind that grows, and duplicates are still found") {
  Store store(storeOf(64 * kMiB));
  TestGuest guest(store, guestNamed("a"));
  constexpr uint32_t kHeld = 200;
  uint64_t seed = 0;
  auto turnOver = [&](int times) {
    for (int i = 0; i < times; i++) {
      for (uint32_t k = 0; k < kHeld; k++) {
        CHECK(guest.put(guest.p(1, k), randomPage(seed++)) == Status::kOk);
      }
      CHECK(guest.flush(guest.p(1, 0), kHeld) == Status::kOk);
    }
  };
  turnOver(10);
  uint64_t before = store.counters().metadataBytes;
  turnOver(100);
  // An entry is 8 bytes: with one for each of the 20,000 pages it would be far above.
  CHECK(store.counters().metadataBytes < before + 64 * 1024);
  for (uint32_t k = 0; k < kHeld; k++) {
    CHECK(guest.put(guest.p(1, k), textPage(k)) == Status::kOk);
    CHECK(guest.put(guest.p(2, k), textPage(k)) == Status::kOk);
  }
  CHECK(store.counters().dedupSavedPages == kHeld);
  CHECK(store.checkInvariants() == "");
}
