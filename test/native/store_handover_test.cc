// Memory that goes from one guest to another holds nothing of the first.
#include <doctest/doctest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

#include "native/store_fixture.h"

using namespace tmemd;

namespace {

using Bins = std::vector<uint32_t>;

Bins binsOf(Store& store) {
  Guest& guest = *StoreTestAccess::impl(store).places[0].guest;
  return {guest.group.bin.id(), guest.reserveBin.id(), guest.ephemeralBin.id()};
}

GuestOptions reserved(const std::string& name) {
  GuestOptions options = guestNamed(name);
  options.persistentReservePages = 20;
  return options;
}

// Beyond the reserve too when there are many, so that its spans are of every kind.
void fill(TestGuest& guest, uint32_t pages) {
  for (uint32_t i = 0; i < pages; i++) {
    REQUIRE(guest.put(guest.p(1, i), randomPage(i)) == Status::kOk);
    REQUIRE(guest.put(guest.e(1, i), randomPage(1000 + i)) == Status::kOk);
  }
}

// Bytes of a bin's spans of blocks that belong to none of its blocks and are not 0.
uint64_t strayBytes(Store& store, uint32_t binId) {
  SpanTable& table = StoreTestAccess::impl(store).table;
  uint64_t stray = 0;
  for (SpanNumber span = 1; span < table.spanCount(); span++) {
    SpanKind kind = table.kindOf(span);
    bool blocks = kind == SpanKind::kShared || kind == SpanKind::kReserve || kind == SpanKind::kEphemeral;
    if (!blocks || table.binOf(span) != binId) continue;
    SpanHeader& head = table.header(span);
    std::byte* base = table.bytes(span);
    std::byte* end = base + kSpanBytes - head.blockCount * sizeof(Entry);
    stray += static_cast<uint64_t>(
        std::count_if(base + head.dataEndUnits * 8, end, [](std::byte byte) { return byte != std::byte{0}; }));
  }
  return stray;
}

// Who came before had the same bins, or it is no test.
void checkThatNothingIsLeft(Store& store, const Bins& before) {
  REQUIRE(binsOf(store) == before);
  for (uint32_t bin : before) {
    CAPTURE(bin);
    CHECK(strayBytes(store, bin) == 0);
  }
}

}  // namespace

TEST_CASE("a guest that comes after another is handed none of its bytes") {
  StoreOptions options = storeOf(8 << 20);
  options.backgroundSettling = false;
  Store store(options);
  TestGuest first(store, reserved("first"));
  fill(first, 100);
  Bins bins = binsOf(store);
  store.removeGuest(first.id);
  CHECK(store.checkInvariants() == "");
  TestGuest second(store, reserved("second"));
  fill(second, 1);
  checkThatNothingIsLeft(store, bins);
  CHECK(store.checkInvariants() == "");
}

TEST_CASE("a guest that comes after one whose removal a kill cut short is handed none of its bytes") {
  int fd = memfd_create("arena", MFD_ALLOW_SEALING);
  REQUIRE(fd >= 0);
  StoreOptions options = storeOf(8 << 20);
  options.backgroundSettling = false;
  options.arenaFd = fd;
  Bins bins;
  {
    Store store(options);
    TestGuest first(store, reserved("first"));
    fill(first, 100);
    bins = binsOf(store);
    StoreTestAccess::Impl& impl = StoreTestAccess::impl(store);
    impl.beginLeaving(*impl.place(first.id));
  }
  std::unique_ptr<Store> store = Store::recover(fd, options);
  TestGuest second(*store, reserved("second"));
  fill(second, 1);
  checkThatNothingIsLeft(*store, bins);
  CHECK(store->checkInvariants() == "");
  close(fd);
}
