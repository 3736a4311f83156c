// What the background promises every guest, whatever pages it holds and whatever others do.
// The thread, its loop and its slices are those of a service; only its clock runs fast.
#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "engine/activity.h"
#include "native/fast_clock.h"
#include "native/memory_file.h"
#include "native/store_fixture.h"

using namespace tmemd;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

namespace {

constexpr uint64_t kMiB = 1 << 20;

// Nearly halved by LZ4, and by nothing else much more: pieces of random bytes, each twice. Recompressing
// one is in vain. (Of all 256 values they would not be tried with LZ4 in the first place.)
Page stubbornPage(uint64_t seed) {
  constexpr size_t kPiece = 32;
  Page page = randomPage(seed);
  for (std::byte& one : page) one = std::byte(std::to_integer<int>(one) % 120);
  for (size_t i = 0; i < kPageBytes; i += 2 * kPiece)
    std::memcpy(page.data() + i + kPiece, page.data() + i, kPiece);
  return page;
}

PageKey at(const TestGuest& guest, uint32_t i) { return guest.p(i / 1024, i % 1024); }

void fill(TestGuest& guest, uint32_t count, Page (*page)(uint64_t), uint64_t seed = 0) {
  for (uint32_t i = 0; i < count; i++) REQUIRE(guest.put(at(guest, i), page(seed + i)) == Status::kOk);
}

void checkHeld(TestGuest& guest, uint32_t count, Page (*page)(uint64_t), uint64_t seed = 0) {
  for (uint32_t i = 0; i < count; i++) REQUIRE(guest.holds(at(guest, i), page(seed + i)));
}

void checkSound(Store& store) { CHECK(store.checkInvariants() == ""); }

// What the entries of a guest's pages say of how they are stored.
uint32_t pagesOf(Store& store, const TestGuest& guest, uint32_t count, Codec codec) {
  auto& impl = StoreTestAccess::impl(store);
  Guest& inside = StoreTestAccess::guest(store, guest.id);
  uint32_t found = 0;
  for (uint32_t i = 0; i < count; i++) {
    PageKey key = at(guest, i);
    uint64_t hash = inside.map.hashOf(key.pool, key.object.word);
    PageMap::Shard& shard = inside.map.shard(PageMap::shardOf(hash));
    SpinGuard guard(shard.lock);
    uint32_t value = impl.find(shard, hash, key).value;
    if (isBlock(value)) found += entryCodec(impl.table.entry(spanOf(value), entryOf(value)).load()) == codec;
  }
  return found;
}

// Of a store that lives for so long.
BackgroundClock::Time costOf(FastClock& clock, BackgroundClock::Time duration) {
  BackgroundClock::Time before = clock.used();
  clock.pass(duration);
  return clock.used() - before;
}

// A guest that does more in every tick than an idle one would.
void keepBusy(FastClock& clock, TestGuest& guest) {
  clock.setOnWait([&guest] {
    for (uint32_t i = 0; i < 110; i++) guest.misses(guest.p(0, i));
  });
}

}  // namespace

TEST_CASE("pages that nothing makes smaller are tried once, and then cost nothing") {
  constexpr uint32_t kPages = 2000;
  FastClock clock;
  Store store(storeOf(64 * kMiB, &clock));
  TestGuest guest(store, guestNamed("a"));
  fill(guest, kPages, stubbornPage);
  REQUIRE(pagesOf(store, guest, kPages, Codec::kLz4) == kPages);
  uint64_t data = store.counters().dataBytes;
  clock.pass(minutes(3));
  CHECK(pagesOf(store, guest, kPages, Codec::kLz4Settled) == kPages);
  clock.pass(minutes(5));
  CHECK(pagesOf(store, guest, kPages, Codec::kLz4Final) == kPages);
  CHECK(store.counters().dataBytes == data);
  CHECK(costOf(clock, minutes(30)) <
        seconds(3));  // much less, but for sanitizers; 4 minutes if they were tried again
  checkHeld(guest, kPages, stubbornPage);
  checkSound(store);
}

TEST_CASE("what was tried is remembered by those who come after a restart") {
  constexpr uint32_t kPages = 500;
  MemoryFile file;
  {
    FastClock clock;
    StoreOptions options = storeOf(16 * kMiB, &clock);
    options.arenaFd = file.fd;
    Store store(options);
    TestGuest guest(store, guestNamed("a"));
    fill(guest, kPages, stubbornPage);
    clock.pass(minutes(8));
    REQUIRE(pagesOf(store, guest, kPages, Codec::kLz4Final) == kPages);
  }
  StoreOptions options;
  options.backgroundSettling = false;
  RecoveryReport report;
  std::unique_ptr<Store> store = Store::recover(file.fd, options, &report);
  CHECK(report.pages == kPages);
  CHECK(report.damagedPages == 0);
  GuestId id = store->guestNamed("a").value();
  WorkerContext context;
  for (uint32_t i = 0; i < kPages; i++) {
    Page out;
    GetOp op;
    op.key = keyOf(0, i / 1024, i % 1024);
    op.out = out.data();
    store->get(context, id, {&op, 1});
    REQUIRE(op.status == Status::kOk);
    REQUIRE(out == stubbornPage(i));
  }
  checkSound(*store);
}

TEST_CASE("an arena of the version before is taken over, and no longer read by its program") {
  MemoryFile file;
  StoreOptions options = storeOf(8 * kMiB);
  options.arenaFd = file.fd;
  {
    Store store(options);
    TestGuest guest(store, guestNamed("a"));
    fill(guest, 10, textPage);
  }
  uint32_t version = kArenaVersionBefore;
  REQUIRE(pwrite(file.fd, &version, sizeof version, offsetof(Superblock, version)) == sizeof version);
  RecoveryReport report;
  std::unique_ptr<Store> store = Store::recover(file.fd, StoreOptions(), &report);
  CHECK(report.pages == 10);
  REQUIRE(pread(file.fd, &version, sizeof version, offsetof(Superblock, version)) == sizeof version);
  CHECK(version == kArenaVersion);
}

TEST_CASE("a slice too short for anything but a step comes to the end all the same") {
  constexpr uint32_t kPages = 1000;
  FastClock clock;
  clock.setLookCosts(seconds(1));  // no slice lasts longer than until the first look at the time
  Store store(storeOf(64 * kMiB, &clock));
  TestGuest guest(store, guestNamed("a"));
  fill(guest, kPages, textPage);
  uint64_t data = store.counters().dataBytes;
  clock.pass(minutes(10));
  CHECK(pagesOf(store, guest, kPages, Codec::kLz4) == 0);
  CHECK(store.counters().dataBytes < data);
  clock.setLookCosts(seconds(0));
  checkHeld(guest, kPages, textPage);
  checkSound(store);
}

TEST_CASE("holes are given back and pages recompressed beside a guest that is never idle") {
  constexpr uint32_t kPages = 12000;
  FastClock clock;
  Store store(storeOf(128 * kMiB, &clock));
  TestGuest busy(store, guestNamed("busy"));
  TestGuest guest(store, guestNamed("a"));
  fill(guest, kPages, textPage, 10);
  uint64_t full = store.counters().usedBytes;
  for (uint32_t i = 0; i < kPages; i++) {
    if (i % 4) guest.flush(at(guest, i));
  }
  keepBusy(clock, busy);
  clock.pass(minutes(1));
  CHECK(store.counters().usedBytes < full / 2);
  clock.pass(minutes(5));
  for (uint32_t i = 0; i < kPages; i += 4) REQUIRE(guest.holds(at(guest, i), textPage(10 + i)));
  CHECK(pagesOf(store, guest, kPages, Codec::kLz4) == 0);
  clock.setOnWait(nullptr);
  checkSound(store);
}

TEST_CASE("a guest whose pages are dear does not delay another's") {
  constexpr uint32_t kDear = 8000;
  constexpr uint32_t kFew = 100;
  FastClock clock;
  Store store(storeOf(128 * kMiB, &clock));
  TestGuest many(store, guestNamed("many"));
  fill(many, kDear, stubbornPage);
  // One page a slice: the walk over the first guest's takes 80 seconds, from the thirtieth on.
  clock.setLookCosts(milliseconds(2));
  clock.pass(seconds(35));
  REQUIRE(pagesOf(store, many, kDear, Codec::kLz4Settled) > 0);
  TestGuest few(store, guestNamed("few"));
  fill(few, kFew, textPage);
  clock.pass(seconds(40));
  CHECK(pagesOf(store, few, kFew, Codec::kLz4) == 0);
  CHECK(pagesOf(store, many, kDear, Codec::kLz4) > kDear / 3);  // the walk was under way all the time
}

TEST_CASE("where others want the processor it takes a fiftieth, and gets no less by waiting") {
  constexpr uint32_t kPages = 12000;
  constexpr milliseconds kWatched{5000};
  FastClock clock;
  Store store(storeOf(128 * kMiB, &clock));
  TestGuest guest(store, guestNamed("a"));
  fill(guest, kPages, stubbornPage);
  clock.pass(seconds(29));
  for (milliseconds late : {milliseconds(5), milliseconds(80)}) {
    CAPTURE(late.count());
    clock.setLateBy(late);
    clock.pass(seconds(2));
    BackgroundClock::Time cost = costOf(clock, kWatched);
    CHECK(cost < kWatched / 25);  // beside what it works on pages there is a page more, and frames
    CHECK(cost > kWatched / 100);
  }
  CHECK(pagesOf(store, guest, kPages, Codec::kLz4) > 0);
}

TEST_CASE("of many pools some are looked at in a tick, and every guest's work is seen") {
  FastClock clock;  // which nobody lets run
  Store store(storeOf(64 * kMiB, &clock));
  GuestOptions options = guestNamed("idle");
  options.maxPools = 1000;
  TestGuest idle(store, options);
  TestGuest busy(store, guestNamed("busy"));
  Activity activity(StoreTestAccess::impl(store));
  BackgroundClock::Time now(0);
  constexpr uint32_t kLooks = 40;
  uint32_t seen = 0;
  for (uint32_t i = 0; i < kLooks; i++) {
    REQUIRE(busy.put(busy.p(0, i), textPage(i)) == Status::kOk);
    seen += activity.look(now += milliseconds(10));
  }
  CHECK(seen > kLooks / 5);
  CHECK(seen <= kLooks / 2);  // two looks for the pools that the idle guest could have
  CHECK(activity.operationsPerSecond() == 100);
  CHECK(activity.persistentPuts(StoreTestAccess::guest(store, busy.id).place) >= kLooks - 2);
  for (uint32_t i = 0; i < kLooks; i++) activity.look(now += milliseconds(10));
  CHECK(activity.operationsPerSecond() == 0);
  CHECK_FALSE(activity.look(now += milliseconds(10)));
}

TEST_CASE("a guest that goes on putting into all its leaves has only its new pages tried") {
  constexpr uint32_t kPages = 64 * 20;
  FastClock clock;
  Store store(storeOf(64 * kMiB, &clock));
  TestGuest guest(store, guestNamed("a"));
  TestGuest other(store, guestNamed("other"));
  fill(guest, kPages, stubbornPage);
  fill(other, kPages, stubbornPage, 5000);
  clock.pass(minutes(8));
  REQUIRE(pagesOf(store, guest, kPages, Codec::kLz4Final) == kPages);
  // A page of each leaf every 40 seconds: every leaf is due again and again.
  BackgroundClock::Time before = clock.used();
  constexpr uint32_t kTimes = 45;
  for (uint32_t time = 0; time < kTimes; time++) {
    for (uint32_t i = 0; i < kPages; i += 64)
      REQUIRE(guest.put(at(guest, i), stubbornPage(10000 + i)) == Status::kOk);
    clock.pass(seconds(40));
  }
  // None of the others was tried a second time.
  CHECK(pagesOf(store, guest, kPages, Codec::kLz4Final) >= kPages - 20);
  CHECK(pagesOf(store, other, kPages, Codec::kLz4Final) == kPages);
  CHECK(clock.used() - before < seconds(3));
  checkSound(store);
}

TEST_CASE("blocks that cannot be moved do not keep a drain alive, nor other holes from being given back") {
  constexpr uint32_t kPages = 6000;
  FastClock clock;
  Store store(storeOf(128 * kMiB, &clock));
  TestGuest guest(store, guestNamed("damaged"));
  fill(guest, kPages, textPage);
  // One damaged page in each span or so; nearly all others are flushed.
  for (uint32_t i = 0; i < kPages; i++) {
    if (i % 40 == 0) {
      REQUIRE(StoreTestAccess::damage(store, guest.id, at(guest, i)));
    } else {
      guest.flush(at(guest, i));
    }
  }
  clock.pass(minutes(10));
  CHECK(costOf(clock, minutes(10)) < seconds(2));
  CHECK(StoreTestAccess::guest(store, guest.id).group.drain.pauseRounds >= 256);
  TestGuest other(store, guestNamed("other"));
  uint64_t before = store.counters().usedBytes;
  fill(other, kPages, textPage, 100000);
  for (uint32_t i = 0; i < kPages; i++) {
    if (i % 10) other.flush(at(other, i));
  }
  uint64_t full = store.counters().usedBytes - before;
  clock.pass(seconds(20));
  CHECK(store.counters().usedBytes - before < full / 2);
  for (uint32_t i = 0; i < kPages; i += 10) REQUIRE(other.holds(at(other, i), textPage(100000 + i)));
  checkSound(store);
}

TEST_CASE("a guest behind a closed gate is passed over, and visited when it opens") {
  constexpr uint32_t kPages = 500;
  FastClock clock;
  Store store(storeOf(64 * kMiB, &clock));
  TestGuest closed(store, guestNamed("closed"));
  TestGuest open(store, guestNamed("open"));
  fill(closed, kPages, textPage);
  fill(open, kPages, textPage, 1000);
  Gate& gate = StoreTestAccess::impl(store).place(closed.id)->gate;
  gate.close();
  clock.pass(minutes(2));
  CHECK(pagesOf(store, open, kPages, Codec::kLz4) == 0);
  CHECK(pagesOf(store, closed, kPages, Codec::kLz4) == kPages);
  gate.open();
  clock.pass(minutes(2));
  CHECK(pagesOf(store, closed, kPages, Codec::kLz4) == 0);
  checkSound(store);
}

TEST_CASE("after a recovery the index knows every page soon, whatever load there is") {
  constexpr uint32_t kPages = 3000;
  MemoryFile file;
  {
    StoreOptions options = storeOf(32 * kMiB);
    options.arenaFd = file.fd;
    Store store(options);
    TestGuest a(store, guestNamed("a"));
    fill(a, kPages, textPage);
  }
  FastClock clock;
  StoreOptions options;
  options.backgroundClock = &clock;
  std::unique_ptr<Store> store = Store::recover(file.fd, options);
  GuestId id = store->guestNamed("a").value();
  WorkerContext worker;
  clock.setOnWait([&] {
    for (uint32_t i = 0; i < 150; i++) {
      Page out;
      GetOp op;
      op.key = keyOf(0, i / 1024, i % 1024);
      op.out = out.data();
      store->get(worker, id, {&op, 1});
    }
  });
  clock.pass(seconds(20));
  clock.setOnWait(nullptr);
  WorkerContext context;
  for (uint32_t i = 0; i < kPages; i++) {
    std::memcpy(context.page(), textPage(i).data(), kPageBytes);
    REQUIRE(store->put(context, id, keyOf(0, 1000 + i / 1024, i % 1024)) == Status::kOk);
  }
  CHECK(store->guestCounters(id).operations.sharedPages == kPages);
  checkSound(*store);
}

TEST_CASE("a step of a walk looks at one leaf, and a walk at every leaf once") {
  constexpr uint32_t kLeaves = 3000;
  FastClock clock;
  Store store(storeOf(64 * kMiB, &clock));
  TestGuest guest(store, guestNamed("a"));
  for (uint32_t i = 0; i < kLeaves; i++) REQUIRE(guest.put(guest.p(i, 0), textPage(i)) == Status::kOk);
  auto& impl = StoreTestAccess::impl(store);
  Guest& inside = StoreTestAccess::guest(store, guest.id);
  struct Counting final : LeafVisitor {
    bool enters(Leaf&, bool) override { return ++entered; }
    bool admits(Loc) override { return ++admitted; }
    bool wants(Entry) override { return false; }
    void leaves(Leaf&) override { left++; }
    uint32_t entered = 0, admitted = 0, left = 0;
  } counting;
  LeafCursor cursor;
  LeafWalk walk(impl.table, inside, cursor);
  PageInHand page;
  uint32_t most = 0;
  for (;;) {
    uint32_t before = counting.entered + counting.admitted;
    if (walk.step(counting, &page) == LeafWalk::Step::kEnd) break;
    most = std::max(most, counting.entered + counting.admitted - before);
  }
  CHECK(most <= 2);  // a leaf, and the one page that each of these has
  CHECK(counting.left == kLeaves);
  CHECK(counting.admitted == kLeaves);
}
