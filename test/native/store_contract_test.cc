// The contract's clauses (design: what tmem promises a guest), one by one.
#include <doctest/doctest.h>

#include "native/store_fixture.h"

using namespace tmemd;

namespace {

constexpr uint64_t kMiB = 1 << 20;

}  // namespace

TEST_CASE("a page of any content comes back bit for bit, from both kinds of pool") {
  Store store(storeOf(16 * kMiB));
  TestGuest guest(store, guestNamed("a"));
  const Page pages[] = {textPage(1), randomPage(1), filledPage(0), filledPage(0x4141414141414141),
                        filledPage(0x123456789abcdef)};
  uint32_t index = 0;
  for (const Page& page : pages) {
    CHECK(guest.put(guest.p(7, index), page) == Status::kOk);
    CHECK(guest.put(guest.e(7, index), page) == Status::kOk);
    CHECK(guest.holds(guest.p(7, index), page));
    CHECK(guest.holds(guest.e(7, index), page));
    index += 1000;
  }
  CHECK(store.checkInvariants() == "");
}

TEST_CASE("what was never put misses; the extremes of a key are keys like any other") {
  Store store(storeOf(16 * kMiB));
  TestGuest guest(store, guestNamed("a"));
  CHECK(guest.misses(guest.p(1, 1)));
  PageKey last{guest.persistent, {{~0ull, ~0ull, ~0ull}}, 0xffffffff};
  CHECK(guest.put(last, textPage(3)) == Status::kOk);
  CHECK(guest.holds(last, textPage(3)));
  PageKey other = last;
  other.object.word[2]--;
  CHECK(guest.misses(other));
  other = last;
  other.index--;
  CHECK(guest.misses(other));
  CHECK(guest.flush(last) == Status::kOk);
  CHECK(guest.misses(last));
  CHECK(store.checkInvariants() == "");
}

TEST_CASE("a put replaces what the key held") {
  Store store(storeOf(16 * kMiB));
  TestGuest guest(store, guestNamed("a"));
  for (int i = 0; i < 5; i++) {
    for (auto key : {guest.p(1, 1), guest.e(1, 1)}) {
      CHECK(guest.put(key, textPage(i)) == Status::kOk);
      CHECK(guest.holds(key, textPage(i)));
    }
  }
  CHECK(guest.counters().putsReplacedTotal == 8);
  CHECK(store.pagesHeld(guest.id) == 2);
  CHECK(store.checkInvariants() == "");
}

TEST_CASE("a refused put leaves nothing under its key") {
  Store store(storeOf(16 * kMiB));
  GuestOptions options = guestNamed("a");
  options.persistentLimitPages = 2;
  TestGuest guest(store, options);
  CHECK(guest.put(guest.p(1, 1), textPage(1)) == Status::kOk);
  GuestTuning freeze;
  freeze.frozen = true;
  store.updateGuest(guest.id, freeze);
  CHECK(guest.put(guest.p(1, 1), textPage(2)) == Status::kRefused);
  CHECK(guest.misses(guest.p(1, 1)));
  CHECK(guest.counters().putsRefusedFrozenTotal == 1);
  CHECK(guest.counters().putsDroppedTotal == 1);
  CHECK(store.checkInvariants() == "");
}

TEST_CASE("puts are refused for a named reason: limit, cap, frozen, capacity") {
  Store store(storeOf(2 * kMiB));
  GuestOptions options = guestNamed("a");
  options.persistentLimitPages = 3;
  options.capPages = 5;
  TestGuest guest(store, options);
  for (uint32_t i = 0; i < 3; i++) CHECK(guest.put(guest.p(1, i), textPage(i)) == Status::kOk);
  CHECK(guest.put(guest.p(1, 3), textPage(3)) == Status::kRefused);
  CHECK(guest.counters().putsRefusedLimitTotal == 1);
  CHECK(guest.put(guest.p(1, 2), textPage(9)) == Status::kOk);  // a replacement is no more

  GuestTuning tuning;
  tuning.persistentLimitPages = 0;
  store.updateGuest(guest.id, tuning);
  for (uint32_t i = 3; i < 5; i++) CHECK(guest.put(guest.p(1, i), textPage(i)) == Status::kOk);
  CHECK(guest.put(guest.p(1, 5), textPage(5)) == Status::kRefused);
  CHECK(guest.counters().putsRefusedCapTotal == 1);

  tuning.capPages = 0;
  tuning.frozen = true;
  store.updateGuest(guest.id, tuning);
  CHECK(guest.put(guest.p(1, 6), textPage(5)) == Status::kRefused);
  CHECK(guest.counters().putsRefusedFrozenTotal == 1);

  tuning.frozen = false;
  store.updateGuest(guest.id, tuning);
  uint32_t index = 6;
  while (guest.put(guest.p(1, index), randomPage(index)) == Status::kOk) index++;
  CHECK(guest.counters().putsRefusedCapacityTotal == 1);
  CHECK(index > 200);
  CHECK(store.counters().usedBytes <= 2 * kMiB);
  for (uint32_t i = 6; i < index; i++) CHECK(guest.holds(guest.p(1, i), randomPage(i)));
  CHECK(store.checkInvariants() == "");
}

TEST_CASE("an ephemeral put at the cap takes the place of older ephemeral pages") {
  Store store(storeOf(16 * kMiB));
  GuestOptions options = guestNamed("a");
  options.capPages = 100;
  TestGuest guest(store, options);
  for (uint32_t i = 0; i < 300; i++) CHECK(guest.put(guest.e(1, i), randomPage(i)) == Status::kOk);
  CHECK(store.pagesHeld(guest.id) <= 100);
  CHECK(guest.holds(guest.e(1, 299), randomPage(299)));
  CHECK(guest.misses(guest.e(1, 0)));
  for (uint32_t i = 0; i < 100; i++) CHECK(guest.put(guest.p(1, i), textPage(i)) == Status::kOk);
  CHECK(guest.put(guest.p(1, 100), textPage(100)) == Status::kRefused);
  CHECK(store.checkInvariants() == "");
}

TEST_CASE("flush: page, range, object, pool; of nothing, too") {
  Store store(storeOf(16 * kMiB));
  TestGuest guest(store, guestNamed("a"));
  CHECK(guest.flush(guest.p(5, 5)) == Status::kOk);
  CHECK(guest.flush(guest.p(5, 0), uint64_t{1} << 32) == Status::kOk);
  for (uint32_t i = 0; i < 300; i++) {
    CHECK(guest.put(guest.p(1, i), textPage(i)) == Status::kOk);
    CHECK(guest.put(guest.p(2, i * 100003), textPage(i)) == Status::kOk);
  }
  CHECK(guest.flush(guest.p(1, 10)) == Status::kOk);
  CHECK(guest.misses(guest.p(1, 10)));
  CHECK(guest.holds(guest.p(1, 11), textPage(11)));
  CHECK(guest.flush(guest.p(1, 60), 100) == Status::kOk);
  for (uint32_t i = 0; i < 300; i++) {
    bool gone = i == 10 || (i >= 60 && i < 160);
    CHECK(guest.misses(guest.p(1, i)) == gone);
  }
  CHECK(guest.flush(guest.p(2, 100003), (uint64_t{1} << 32) - 100003) == Status::kOk);
  CHECK(guest.holds(guest.p(2, 0), textPage(0)));
  CHECK(guest.misses(guest.p(2, 299 * 100003)));
  CHECK(store.flushObject(guest.context, guest.id, guest.persistent, {{1, 0, 0}}) == Status::kOk);
  CHECK(store.pagesHeld(guest.id) == 1);
  CHECK(guest.counters().objects == 1);
  CHECK(store.destroyPool(guest.id, guest.persistent) == Status::kOk);
  CHECK(store.pagesHeld(guest.id) == 0);
  Page out;
  CHECK(guest.get(guest.p(2, 0), &out) == Status::kNoPool);
  CHECK(store.checkInvariants() == "");
}

TEST_CASE("an exclusive get removes the page it got; not from a persistent pool") {
  Store store(storeOf(16 * kMiB));
  TestGuest guest(store, guestNamed("a"));
  Page out;
  CHECK(guest.put(guest.e(1, 1), textPage(1)) == Status::kOk);
  CHECK(guest.get(guest.e(1, 1), &out, true) == Status::kOk);
  CHECK(out == textPage(1));
  CHECK(guest.misses(guest.e(1, 1)));
  CHECK(guest.put(guest.p(1, 1), textPage(1)) == Status::kOk);
  CHECK(guest.get(guest.p(1, 1), &out, true) == Status::kBadRequest);
  CHECK(guest.holds(guest.p(1, 1), textPage(1)));
  CHECK(store.checkInvariants() == "");
}

TEST_CASE("gets of one request stop at the first that fails; the batch goes on with the next request") {
  Store store(storeOf(16 * kMiB));
  TestGuest guest(store, guestNamed("a"));
  for (uint32_t i = 0; i < 40; i++) {
    if (i != 5) CHECK(guest.put(guest.e(1, i), textPage(i)) == Status::kOk);
  }
  for (bool exclusive : {false, true}) {
    std::vector<Page> out(40, filledPage(0x77));
    std::vector<GetOp> ops(40);
    for (uint32_t i = 0; i < 40; i++) {
      ops[i].key = guest.e(1, i);
      ops[i].out = out[i].data();
      ops[i].exclusive = exclusive;
      ops[i].continued = i % 10 != 0;  // four requests of ten pages
    }
    store.get(guest.context, guest.id, ops);
    for (uint32_t i = 0; i < 40; i++) {
      bool delivered = i < 5 || i >= 10;
      CHECK((ops[i].status == Status::kOk) == delivered);
      CHECK(out[i] == (delivered ? textPage(i) : filledPage(0x77)));
    }
  }
  CHECK(guest.counters().getsTotal == 2 * 36);
  CHECK(store.pagesHeld(guest.id) == 4);  // those behind the miss were not taken
  CHECK(store.checkInvariants() == "");
}

TEST_CASE("ephemeral pages yield to persistent ones, oldest first") {
  Store store(storeOf(2 * kMiB));
  TestGuest guest(store, guestNamed("a"));
  for (uint32_t i = 0; i < 2000; i++) CHECK(guest.put(guest.e(1, i), randomPage(i)) == Status::kOk);
  CHECK(store.counters().evictionsTotal > 1000);
  uint32_t firstHeld = 0;
  while (guest.misses(guest.e(1, firstHeld))) firstHeld++;
  CHECK(firstHeld > 1000);
  for (uint32_t i = firstHeld; i < 2000; i++) CHECK(guest.holds(guest.e(1, i), randomPage(i)));
  for (uint32_t i = 0; i < 300; i++) CHECK(guest.put(guest.p(1, i), randomPage(i + 5000)) == Status::kOk);
  for (uint32_t i = 0; i < 300; i++) CHECK(guest.holds(guest.p(1, i), randomPage(i + 5000)));
  CHECK(store.checkInvariants() == "");
}

TEST_CASE("eviction takes from the guest most above its weighted share") {
  Store store(storeOf(8 * kMiB));
  GuestOptions heavy = guestNamed("heavy");
  heavy.weight = 300;
  TestGuest a(store, heavy);
  TestGuest b(store, guestNamed("light"));
  for (uint32_t i = 0; i < 4000; i++) {
    CHECK(a.put(a.e(1, i), randomPage(i)) == Status::kOk);
    CHECK(b.put(b.e(1, i), randomPage(i + 10000)) == Status::kOk);
  }
  double ratio = static_cast<double>(store.pagesHeld(a.id)) / static_cast<double>(store.pagesHeld(b.id));
  CHECK(ratio > 2.5);
  CHECK(ratio < 3.5);
  CHECK(store.checkInvariants() == "");
}

TEST_CASE("same-filled ephemeral pages and their metadata yield too") {
  Store store(storeOf(2 * kMiB));
  TestGuest guest(store, guestNamed("a"));
  for (uint32_t i = 0; i < 60000; i++) CHECK(guest.put(guest.e(i, i), filledPage(0)) == Status::kOk);
  uint32_t kept = 0;
  while (guest.put(guest.p(kept, 0), randomPage(kept)) == Status::kOk) kept++;
  CHECK(kept > 250);
  CHECK(store.checkInvariants() == "");
}

TEST_CASE("inside its reserve a put succeeds whatever others hold, its content, frozen or not") {
  Store store(storeOf(8 * kMiB));
  GuestOptions options = guestNamed("reserved");
  options.persistentReservePages = 500;
  options.frozen = true;
  TestGuest guest(store, options);
  TestGuest other(store, guestNamed("other"));
  uint32_t n = 0;
  while (other.put(other.p(1, n), randomPage(n)) == Status::kOk) n++;
  for (uint32_t i = 0; i < 500; i++) {
    // Each under an object and a leaf of its own: the dearest keys.
    CHECK(guest.put(guest.p(i, i * 1000), randomPage(i + 100000)) == Status::kOk);
  }
  CHECK(guest.put(guest.p(500, 0), randomPage(1)) == Status::kRefused);
  std::mt19937_64 random(1);
  for (uint32_t round = 0; round < 4000; round++) {
    // Shrink and grow at random places: holes everywhere, sizes of every kind.
    uint32_t i = static_cast<uint32_t>(random() % 500);
    if (random() % 3 == 0) {
      CHECK(guest.flush(guest.p(i, i * 1000)) == Status::kOk);
    } else {
      Page page = random() % 2 ? randomPage(random()) : textPage(random());
      CHECK(guest.put(guest.p(i, i * 1000), page) == Status::kOk);
    }
  }
  for (uint32_t i = 0; i < 500; i++) CHECK(guest.put(guest.p(i, i * 1000), randomPage(i + 7)) == Status::kOk);
  for (uint32_t i = 0; i < n; i++) CHECK(other.holds(other.p(1, i), randomPage(i)));
  CHECK(store.checkInvariants() == "");
}

TEST_CASE("reserves that do not fit the capacity together are refused by name") {
  Store store(storeOf(8 * kMiB));
  GuestOptions options = guestNamed("one");
  options.persistentReservePages = 1000;
  GuestId one = store.addGuest(options);
  options.name = "two";
  CHECK_THROWS_WITH_AS(store.addGuest(options), doctest::Contains("guest two: reserve of 1000 pages"), ConfigError);
  store.removeGuest(one);
  CHECK_NOTHROW(store.addGuest(options));
  options.name = "three";
  options.persistentReservePages = 10;
  options.capPages = 9;
  CHECK_THROWS_AS(store.addGuest(options), ConfigError);
  options.capPages = 0;
  options.persistentLimitPages = 9;
  CHECK_THROWS_AS(store.addGuest(options), ConfigError);
  options.persistentLimitPages = 0;
  options.weight = 0;
  CHECK_THROWS_AS(store.addGuest(options), ConfigError);
  CHECK_THROWS_AS(Store(storeOf(1000)), ConfigError);
  CHECK(store.checkInvariants() == "");
}

TEST_CASE("a damaged page is CORRUPT, never other bytes: persistent stays so, ephemeral is dropped") {
  Store store(storeOf(8 * kMiB));
  TestGuest guest(store, guestNamed("a"));
  for (const Page& page : {textPage(1), randomPage(1), filledPage(0x12345678abcd)}) {
    CHECK(guest.put(guest.p(1, 1), page) == Status::kOk);
    CHECK(guest.put(guest.e(1, 1), page) == Status::kOk);
    REQUIRE(StoreTestAccess::damage(store, guest.id, guest.p(1, 1)));
    REQUIRE(StoreTestAccess::damage(store, guest.id, guest.e(1, 1)));
    Page before = filledPage(0x77);
    Page out = before;
    CHECK(guest.get(guest.p(1, 1), &out) == Status::kCorrupt);
    CHECK(guest.get(guest.p(1, 1), &out) == Status::kCorrupt);
    CHECK(guest.get(guest.e(1, 1), &out) == Status::kCorrupt);
    CHECK(out == before);
    CHECK(guest.misses(guest.e(1, 1)));
    // The same content again is not shared with the damaged copy.
    CHECK(guest.put(guest.p(1, 1), page) == Status::kOk);
    CHECK(guest.holds(guest.p(1, 1), page));
    REQUIRE(StoreTestAccess::damage(store, guest.id, guest.p(1, 1)));
    CHECK(guest.flush(guest.p(1, 1)) == Status::kOk);
    CHECK(guest.misses(guest.p(1, 1)));
  }
  CHECK(store.counters().corruptTotal == 9);
  CHECK(store.checkInvariants() == "");
}

TEST_CASE("sessions: nothing before RESET, ATTACH resumes, RESET and dropPools drop") {
  Store store(storeOf(8 * kMiB));
  GuestId id = store.addGuest(guestNamed("a"));
  WorkerContext context;
  PoolId pool;
  CHECK_FALSE(store.hasSession(id));
  CHECK(store.put(context, id, keyOf(0, 1, 1)) == Status::kNoSession);
  CHECK(store.createPool(id, true, &pool) == Status::kNoSession);
  CHECK(store.attach(id, 0) == Status::kNoSession);
  uint64_t session = store.reset(id);
  CHECK(session != 0);
  CHECK(store.put(context, id, keyOf(0, 1, 1)) == Status::kNoPool);
  for (PoolId expected = 0; expected < 64; expected++) {
    CHECK(store.createPool(id, expected % 2, &pool) == Status::kOk);
    CHECK(pool == expected);
  }
  CHECK(store.createPool(id, true, &pool) == Status::kTooMany);
  CHECK(store.destroyPool(id, 3) == Status::kOk);
  CHECK(store.destroyPool(id, 3) == Status::kNoPool);
  CHECK(store.createPool(id, true, &pool) == Status::kOk);
  CHECK(pool > 63);  // ids are not used twice in a session
  std::memcpy(context.page(), textPage(1).data(), kPageBytes);
  CHECK(store.put(context, id, keyOf(pool, 1, 1)) == Status::kOk);
  CHECK(store.attach(id, session) == Status::kOk);
  CHECK(store.attach(id, session + 1) == Status::kNoSession);
  uint64_t pages = 0;
  CHECK(store.pagesHeld(id, pool, &pages) == Status::kOk);
  CHECK(pages == 1);
  CHECK(store.reset(id) != session);
  CHECK(store.pagesHeld(id) == 0);
  CHECK(store.attach(id, session) == Status::kNoSession);
  CHECK(store.createPool(id, true, &pool) == Status::kOk);
  CHECK(pool == 0);
  store.dropPools(id);
  CHECK_FALSE(store.hasSession(id));
  store.removeGuest(id);
  CHECK(store.put(context, id, keyOf(0, 1, 1)) == Status::kNoSession);
  CHECK(store.checkInvariants() == "");
}
