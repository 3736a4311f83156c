// A block stays what it was until the last byte of a get is decoded, whoever frees it meanwhile.
//
// A get finds its block under its shard's lock and reads it without. The staged cases take these
// steps one by one, by the functions a get is made of, and let others do in between what they may do at
// any time; the others let threads race. The interleavings between all lines are
// test/interleave's.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "native/fast_clock.h"
#include "native/store_fixture.h"

using namespace tmemd;

namespace {

using Impl = StoreTestAccess::Impl;
constexpr uint64_t kMiB = 1 << 20;
// A get that stands still after it found its block.
class StagedGet {
 public:
  explicit StagedGet(TestGuest& guest, const PageKey& key, bool exclusive = false)
      : store_(StoreTestAccess::impl(guest.store)), test_(guest), gate_(store_.place(guest.id)->gate),
        guest_(*Impl::guestIn(*store_.place(guest.id), guest.id)) {
    op_.key = key;
    op_.out = out.data();
    op_.exclusive = exclusive;
    store_.locate(guest_, op_, hand_);
  }
  // Goes on to its end.
  Status finish() {
    hand_.readEntry();
    return store_.deliver(test_.context, guest_, op_, hand_);
  }

  Page out = filledPage(0);

 private:
  Impl& store_;
  TestGuest& test_;
  GateEntry gate_;
  Guest& guest_;
  GetOp op_;
  Impl::GetInHand hand_;
};

struct GroupOfTwo {
  explicit GroupOfTwo(uint64_t capacityBytes)
      : store(storeOf(capacityBytes, &clock)), a(store, member("a")), b(store, member("b")) {}
  static GuestOptions member(const std::string& name) {
    GuestOptions options = guestNamed(name);
    options.dedupGroup = "g";
    return options;
  }
  FastClock clock;
  Store store;
  TestGuest a;
  TestGuest b;
};

void evictAll(TestGuest& other) {
  for (uint32_t i = 0; i < 4000; i++) other.put(other.p(2, i), randomPage(i));
}

}  // namespace

TEST_CASE("a persistent page that is recompressed while it is got comes back") {
  GroupOfTwo two(64 * kMiB);
  REQUIRE(two.a.put(two.a.p(1, 1), textPage(1)) == Status::kOk);
  StagedGet get(two.a, two.a.p(1, 1));
  two.clock.pass(std::chrono::minutes(2));
  CHECK(get.finish() == Status::kOk);
  CHECK(get.out == textPage(1));
}

TEST_CASE("a page that is got is never another guest's that took its place") {
  GroupOfTwo two(64 * kMiB);
  REQUIRE(two.a.put(two.a.p(1, 1), textPage(1)) == Status::kOk);
  {
    StagedGet get(two.a, two.a.p(1, 1));
    two.clock.pass(std::chrono::minutes(2));
    for (uint64_t i = 0; i < 8; i++) two.b.put(two.b.p(9, static_cast<uint32_t>(i)), textPage(4242 + i));
    CHECK(get.finish() == Status::kOk);
    CHECK(get.out == textPage(1));
  }
  CHECK(two.a.holds(two.a.p(1, 1), textPage(1)));
  CHECK(two.store.counters().corruptTotal == 0);
  CHECK(two.store.checkInvariants() == "");
}

TEST_CASE("a page flushed or replaced while it is got comes back as it was") {
  Store store(storeOf(64 * kMiB));
  TestGuest guest(store, guestNamed("a"));
  for (bool persistent : {true, false}) {
    PageKey key = persistent ? guest.p(1, 1) : guest.e(1, 1);
    for (bool replaced : {true, false}) {
      REQUIRE(guest.put(key, textPage(1)) == Status::kOk);
      StagedGet get(guest, key);
      if (replaced) {
        REQUIRE(guest.put(key, textPage(2)) == Status::kOk);
      } else {
        guest.flush(key);
      }
      for (uint32_t i = 0; i < 8; i++) guest.put(persistent ? guest.p(2, i) : guest.e(2, i), textPage(50 + i));
      CHECK(get.finish() == Status::kOk);
      CHECK(get.out == textPage(1));
    }
    CHECK(guest.misses(key));
  }
  CHECK(store.checkInvariants() == "");
}

TEST_CASE("a page evicted while it is got comes back or is missed, and is never corrupt") {
  Store store(storeOf(8 * kMiB));
  TestGuest a(store, guestNamed("a"));
  TestGuest b(store, guestNamed("b"));
  REQUIRE(a.put(a.e(1, 1), textPage(1)) == Status::kOk);
  for (uint32_t i = 0; i < 200; i++) a.put(a.e(5, i), textPage(100 + i));
  {
    StagedGet get(a, a.e(1, 1));
    evictAll(b);
    CHECK(get.finish() == Status::kOk);
    CHECK(get.out == textPage(1));
  }
  CHECK(a.misses(a.e(1, 1)));
  CHECK(store.counters().corruptTotal == 0);
  CHECK(store.checkInvariants() == "");
}

TEST_CASE("an exclusive get takes its page away, and a page that was put meanwhile is not it") {
  Store store(storeOf(64 * kMiB));
  TestGuest guest(store, guestNamed("a"));
  REQUIRE(guest.put(guest.e(1, 1), textPage(1)) == Status::kOk);
  {
    StagedGet get(guest, guest.e(1, 1), true);
    CHECK(get.finish() == Status::kOk);
    CHECK(get.out == textPage(1));
  }
  CHECK(guest.misses(guest.e(1, 1)));
  REQUIRE(guest.put(guest.e(1, 1), textPage(1)) == Status::kOk);
  {
    StagedGet get(guest, guest.e(1, 1), true);
    guest.flush(guest.e(1, 1));
    // The next block of the span would have the entry of the one before.
    REQUIRE(guest.put(guest.e(1, 1), textPage(2)) == Status::kOk);
    CHECK(get.finish() == Status::kOk);
    CHECK(get.out == textPage(1));
  }
  CHECK(guest.holds(guest.e(1, 1), textPage(2)));
  CHECK(store.checkInvariants() == "");
}

TEST_CASE("readers never make a put within the reserve fail") {
  constexpr uint32_t kPages = 150;
  Store store(storeOf(8 * kMiB));
  GuestOptions options = guestNamed("a");
  options.persistentReservePages = kPages;
  TestGuest guest(store, options);
  for (uint32_t i = 0; i < kPages; i++) REQUIRE(guest.put(guest.p(1, i), textPage(i)) == Status::kOk);
  TestGuest other(store, guestNamed("b"));
  evictAll(other);  // and fills what is nobody's
  for (uint32_t round = 0; round < 40; round++) {
    {
      // A reader in many spans, so that what is flushed is retired; small pages, so that entries run out.
      std::deque<StagedGet> readers;
      for (uint32_t i = 0; i < kPages; i += 3) readers.emplace_back(guest, guest.p(1, i));
      for (uint32_t i = 0; i < kPages; i++) guest.flush(guest.p(1, i));
      for (uint32_t i = 0; i < kPages / 3; i++) {
        Page small = filledPage(round * kPages + i + 1);
        REQUIRE(guest.put(guest.p(2, i), small) == Status::kOk);
        guest.flush(guest.p(2, i));
      }
      for (StagedGet& reader : readers) CHECK(reader.finish() == Status::kOk);
    }
    for (uint32_t i = 0; i < kPages; i++) {
      REQUIRE(guest.put(guest.p(1, i), randomPage(round * kPages + i)) == Status::kOk);
    }
    for (uint32_t i = 0; i < kPages; i++) CHECK(guest.holds(guest.p(1, i), randomPage(round * kPages + i)));
    REQUIRE(store.checkInvariants() == "");
  }
}

TEST_CASE("entries that were retired are used again once their span was packed") {
  Store store(storeOf(8 * kMiB));
  TestGuest guest(store, guestNamed("a"));
  uint64_t before = 0;
  for (uint32_t round = 0; round < 30; round++) {
    for (uint32_t i = 0; i < 300; i++) REQUIRE(guest.put(guest.p(1, i), textPage(round * 300 + i)) == Status::kOk);
    std::deque<StagedGet> readers;
    for (uint32_t i = 0; i < 300; i++) readers.emplace_back(guest, guest.p(1, i));
    for (uint32_t i = 0; i < 300; i++) guest.flush(guest.p(1, i));
    for (uint32_t i = 0; i < 300; i++) {
      CHECK(readers[i].finish() == Status::kOk);
      CHECK(readers[i].out == textPage(round * 300 + i));
    }
    uint64_t used = store.counters().usedBytes;
    if (round == 5) before = used;
    if (round > 5) CHECK(used <= before + 16 * 64 * 1024);
  }
}

namespace {

// Stops once `seconds` went by or something went wrong.
template <typename Step>
void forSeconds(int seconds, Step step) {
  auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  while (std::chrono::steady_clock::now() < end && step()) {
  }
}

Page numbered(uint64_t number) {
  Page page = textPage(number % 64);
  std::memcpy(page.data(), &number, 8);
  return page;
}

struct Running {
  explicit Running(std::function<void(const std::atomic<bool>&)> work) : thread([this, work] { work(stop); }) {}
  ~Running() {
    stop = true;
    thread.join();
  }
  std::atomic<bool> stop{false};
  std::thread thread;
};

}  // namespace

TEST_CASE("gets race with the settler, and with a guest of the group that puts and flushes") {
  GroupOfTwo two(256 * kMiB);
  TestGuest& a = two.a;
  constexpr uint32_t kKeys = 256;
  std::vector<uint64_t> expected(kKeys);
  uint64_t next = 0;
  auto putLeaf = [&](uint32_t leaf) {
    for (uint32_t i = leaf * 64; i < leaf * 64 + 64; i++) {
      expected[i] = next++;
      REQUIRE(a.put(a.p(1, i), numbered(expected[i])) == Status::kOk);
    }
  };
  for (uint32_t leaf = 0; leaf < kKeys / 64; leaf++) putLeaf(leaf);
  uint64_t wrong = 0;
  {
    // Between any two slices half a minute goes by.
    two.clock.setOnWait([&] { StoreTestAccess::impl(two.store).round.fetch_add(35); });
    two.clock.runFreely(std::chrono::seconds(1));
    Running writer([&](const std::atomic<bool>& stop) {
      for (uint64_t n = 1'000'000; !stop; n++) {
        two.b.put(two.b.p(1, n % 8192), numbered(n));
        if (n % 3 == 0) two.b.flush(two.b.p(1, (n * 7) % 8192));
      }
    });
    std::mt19937 random(1);
    std::vector<Page> out(16);
    forSeconds(5, [&] {
      for (int batches = 0; batches < 60; batches++) {
        GetOp ops[16];
        uint32_t keys[16];
        for (int i = 0; i < 16; i++) {
          keys[i] = random() % kKeys;
          ops[i].key = a.p(1, keys[i]);
          ops[i].out = out[i].data();
        }
        two.store.get(a.context, a.id, ops);
        for (int i = 0; i < 16; i++) wrong += ops[i].status != Status::kOk || out[i] != numbered(expected[keys[i]]);
      }
      putLeaf(random() % (kKeys / 64));
      return wrong == 0;
    });
  }
  CHECK(wrong == 0);
  CHECK(two.store.counters().corruptTotal == 0);
  CHECK(two.store.checkInvariants() == "");
}

TEST_CASE("gets race with eviction for another guest's puts") {
  Store store(storeOf(16 * kMiB));
  TestGuest a(store, guestNamed("a"));
  TestGuest b(store, guestNamed("b"));
  uint64_t wrong = 0;
  {
    Running other([&](const std::atomic<bool>& stop) {
      for (uint64_t n = 0; !stop; n++) {
        b.put(b.p(1, n % 3600), randomPage(n));
        if (n % 3600 == 0) b.flush(b.p(1, 0), 1800);
      }
    });
    constexpr uint32_t kKeys = 4000;
    std::mt19937 random(9);
    std::vector<Page> out(16);
    uint32_t at = 0;
    forSeconds(5, [&] {
      GetOp ops[16];
      for (uint32_t i = 0; i < 16; i++) {
        ops[i].key = a.e(1, (at + i) % kKeys);
        ops[i].out = out[i].data();
      }
      store.get(a.context, a.id, ops);
      for (uint32_t i = 0; i < 16; i++) {
        uint64_t number = (at + i) % kKeys;
        if (ops[i].status == Status::kMiss) {
          a.put(ops[i].key, numbered(number));
        } else {
          wrong += ops[i].status != Status::kOk || out[i] != numbered(number);
        }
      }
      at = (at + 16 + random() % 64) % kKeys;
      return wrong == 0;
    });
  }
  CHECK(wrong == 0);
  CHECK(store.counters().corruptTotal == 0);
  CHECK(store.checkInvariants() == "");
}
