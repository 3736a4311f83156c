// Counters and gauges: what they say when the background changes a page's form, and that the
// invariants count every one of them anew.
#include <doctest/doctest.h>

#include <functional>
#include <optional>
#include <vector>

#include "engine/incompressible.h"
#include "native/fast_clock.h"
#include "native/store_fixture.h"

using namespace tmemd;

namespace {

constexpr uint64_t kMiB = 1 << 20;

// A page that LZ4 makes smaller, but that is stored raw when the page before it was.
std::optional<Page> pageOfTwoForms() {
  for (uint64_t seed = 1; seed < 2000; seed++) {
    std::mt19937_64 random(seed);
    Page page;
    for (std::byte& byte : page) byte = std::byte(random() % 150 + 50);
    for (size_t at = 1024; at + 64 <= kPageBytes; at += 256) std::memcpy(&page[at], &page[random() % 900], 64);
    if (looksIncompressible(page.data(), false) || !looksIncompressible(page.data(), true)) continue;
    CodecScratch scratch;
    std::memcpy(scratch.pages, page.data(), kPageBytes);
    if (encodePage(scratch, PageHash(7), scratch.pages, 1).codec == Codec::kLz4) return page;
  }
  return std::nullopt;
}

uint64_t kindsOf(const OperationCounters& c) {
  return c.sameFilledPages + c.sharedPages + c.compressedPages + c.rawPages + c.damagedPages;
}

// A store with something of everything: both pools, all kinds, a reserve, evictions.
struct BusyStore {
  BusyStore() : store(storeOf(4 * kMiB)), guest(store, options()) {
    for (uint32_t i = 0; i < 40; i++) REQUIRE(guest.put(guest.p(1, i), textPage(i / 2)) == Status::kOk);
    for (uint32_t i = 0; i < 20; i++) REQUIRE(guest.put(guest.p(2, i), randomPage(i)) == Status::kOk);
    for (uint32_t i = 0; i < 5; i++) REQUIRE(guest.put(guest.p(3, i), filledPage(i * 0x0101010101010101u)) == Status::kOk);
    for (uint32_t i = 0; i < 1000; i++) guest.put(guest.e(4 + i / 100, i), randomPage(1000 + i));
    Page out;
    for (uint32_t i = 0; i < 30; i++) guest.get(guest.p(1, i), &out);
    guest.flush(guest.p(1, 0), 5);
  }
  static GuestOptions options() {
    GuestOptions options = guestNamed("a");
    options.persistentReservePages = 30;
    return options;
  }
  Store store;
  TestGuest guest;
};

}  // namespace

TEST_CASE("kinds of pages stay right when draining finds a copy of another form") {
  std::optional<Page> page = pageOfTwoForms();
  REQUIRE(page);
  FastClock clock;
  Store store(storeOf(64 * kMiB, &clock));
  TestGuest guest(store, guestNamed("a"));
  // As many keys as may share the compressed block, in a span that will be sparse.
  for (uint32_t i = 0; i < kMaxReferences; i++) REQUIRE(guest.put(guest.p(1, i), *page) == Status::kOk);
  for (uint64_t i = 0; i < 6000; i++) REQUIRE(guest.put(guest.p(2, static_cast<uint32_t>(i)), textPage(i)) == Status::kOk);
  REQUIRE(guest.put(guest.p(3, 0), randomPage(1)) == Status::kOk);
  REQUIRE(guest.put(guest.p(3, 1), *page) == Status::kOk);  // a block of its own, raw
  REQUIRE(guest.counters().rawPages == 2);
  CHECK(store.checkInvariants() == "");
  for (uint32_t i = 0; i < 3000; i++) guest.flush(guest.p(2, i));
  clock.pass(std::chrono::seconds(20));
  CHECK(store.checkInvariants() == "");
  guest.flush(guest.p(1, 0), 64);
  guest.flush(guest.p(2, 0), 6000);
  guest.flush(guest.p(3, 0), 2);
  CHECK(store.checkInvariants() == "");
  CHECK(kindsOf(guest.counters()) == 0);
  CHECK(guest.counters().compressedPages == 0);
  CHECK(guest.counters().rawPages == 0);
}

TEST_CASE("kinds of pages stay right when pages are recompressed") {
  FastClock clock;
  Store store(storeOf(64 * kMiB, &clock));
  TestGuest guest(store, guestNamed("a"));
  for (uint32_t i = 0; i < 300; i++) REQUIRE(guest.put(guest.p(1, i), i % 3 ? textPage(i / 2) : randomPage(i / 6)) == Status::kOk);
  // LZ4 searched harder, then zstd too.
  for (std::chrono::minutes untouched : {std::chrono::minutes(3), std::chrono::minutes(6)}) {
    clock.pass(untouched);
    CHECK(store.checkInvariants() == "");
  }
}

TEST_CASE("the invariants notice every gauge that is wrong by one") {
  BusyStore busy;
  Store& store = busy.store;
  REQUIRE(store.checkInvariants() == "");
  auto& impl = StoreTestAccess::impl(store);
  Guest& guest = *impl.place(busy.guest.id)->guest;
  struct Gauge {
    std::string name;
    std::function<void(int64_t)> change;
  };
  std::vector<Gauge> gauges;
  auto atomic = [&](const std::string& name, std::atomic<uint64_t>& gauge) {
    gauges.push_back({name, [&gauge](int64_t by) { gauge += static_cast<uint64_t>(by); }});
  };
  auto plain = [&](const std::string& name, uint64_t& gauge) {
    gauges.push_back({name, [&gauge](int64_t by) { gauge += static_cast<uint64_t>(by); }});
  };
  for (PoolId id : {busy.guest.persistent, busy.guest.ephemeral}) {
    Pool& pool = *guest.pool(id);
    std::string which = pool.persistent ? "persistent " : "ephemeral ";
#define GAUGE(counter) atomic(which + #counter, pool.counters.counter);
    GAUGE(pages) GAUGE(objects) GAUGE(sameFilledPages) GAUGE(sharedPages) GAUGE(compressedPages) GAUGE(rawPages)
    GAUGE(damagedPages) GAUGE(putsTotal) GAUGE(getsTotal)
#undef GAUGE
    // One of these more or fewer is no more than a result that another has.
    atomic(which + "putsGoodTotal", pool.counters.putsGoodTotal);
    atomic(which + "getsFoundTotal", pool.counters.getsFoundTotal);
  }
  atomic("evictedTotal of persistent pages", guest.pool(busy.guest.persistent)->counters.evictedTotal);
  atomic("evictedTotal", guest.pool(busy.guest.ephemeral)->counters.evictedTotal);
  atomic("the guest's pages", guest.pages);
  atomic("its persistent pages", guest.persistentPages);
  atomic("its ephemeral pages", guest.ephemeralPages);
  atomic("its objects", guest.objects);
  atomic("its charged bytes", guest.chargedBytes);
  plain("pages of pools that are gone", guest.destroyed.pages);
  plain("frames held by its data", guest.dataQuota.heldFrames);
  plain("frames held by its leaves", guest.leafQuota.heldFrames);
  plain("frames held by its objects", guest.objectQuota.heldFrames);
  plain("frames set aside for its data", guest.dataQuota.reservedFrames);
  plain("frames set aside for its leaves", guest.leafQuota.reservedFrames);
  plain("frames set aside for its objects", guest.objectQuota.reservedFrames);
  gauges.push_back({"borrowed bytes", [&](int64_t by) {
                      by > 0 ? static_cast<void>(impl.table.borrow(1)) : impl.table.giveBack(1);
                    }});
  for (const Gauge& gauge : gauges) {
    gauge.change(1);
    CHECK_MESSAGE(store.checkInvariants() != "", gauge.name);
    gauge.change(-1);
  }
  // The most there ever were may not be fewer than there are.
  for (std::atomic<uint64_t>* most : {&guest.pagesMax, &guest.objectsMax, &guest.pool(busy.guest.persistent)->counters.pagesMax,
                                      &guest.pool(busy.guest.persistent)->counters.objectsMax}) {
    uint64_t was = most->exchange(0);
    CHECK(store.checkInvariants() != "");
    *most = was;
  }
  CHECK(store.checkInvariants() == "");
}

TEST_CASE("the invariants notice an entry, a span and a slot that were changed") {
  BusyStore busy;
  Store& store = busy.store;
  auto& impl = StoreTestAccess::impl(store);
  Guest& guest = *impl.place(busy.guest.id)->guest;
  PageKey key = busy.guest.p(1, 10);
  uint64_t hash = guest.map.hashOf(key.pool, key.object.word);
  PageMap::Shard& shard = guest.map.shard(PageMap::shardOf(hash));
  uint32_t value = impl.find(shard, hash, key).value;
  REQUIRE(isBlock(value));
  auto entry = impl.table.entry(spanOf(value), entryOf(value));
  Entry right = entry.load();
  SpanHeader& head = impl.table.header(spanOf(value));
  auto noticed = [&](Entry wrong) {
    entry.store(wrong);
    bool seen = store.checkInvariants() != "";
    entry.store(right);
    return seen;
  };
  CHECK(noticed(withReferences(right, 0)));
  CHECK(noticed(withReferences(right, entryReferences(right) + 1)));
  CHECK(noticed(withOffset(right, 0x1fff)));
  CHECK(noticed(makeEntry(entryChecksum(right), entryOffsetUnits(right), entryLength(right) + 8, entryCodec(right),
                          entryReferences(right))));
  for (uint16_t SpanHeader::*field : {&SpanHeader::liveUnits, &SpanHeader::liveBlocks}) {
    head.*field = static_cast<uint16_t>(head.*field + 1);
    CHECK(store.checkInvariants() != "");
    head.*field = static_cast<uint16_t>(head.*field - 1);
  }
  uint16_t freeHead = head.freeHead;
  head.freeHead = static_cast<uint16_t>(entryOf(value) + 1);
  CHECK(store.checkInvariants() != "");
  head.freeHead = freeHead;
  uint32_t& slot = shard.leaf(impl.find(shard, hash, key).leaf).slot[key.index % kLeafSlots];
  slot ^= kSharedBit;
  CHECK(store.checkInvariants() != "");
  slot = value;
  CHECK(store.checkInvariants() == "");
}
