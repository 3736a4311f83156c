// Same-filled pages, duplicates, and who may share with whom, also after a recovery.
#include <doctest/doctest.h>

#include "native/fast_clock.h"
#include "native/memory_file.h"
#include "native/store_fixture.h"

using namespace tmemd;

namespace {

constexpr uint64_t kMiB = 1 << 20;

GuestOptions grouped(const std::string& name, const std::string& group) {
  GuestOptions options = guestNamed(name);
  options.dedupGroup = group;
  return options;
}

}  // namespace

TEST_CASE("pages of one repeated byte take no storage") {
  Store store(storeOf(8 * kMiB));
  TestGuest guest(store, guestNamed("a"));
  uint64_t before = store.counters().dataBytes;
  for (uint32_t i = 0; i < 256; i++) {
    CHECK(guest.put(guest.p(1, i), filledPage(i * 0x0101010101010101u)) == Status::kOk);
  }
  CHECK(store.counters().dataBytes == before);
  CHECK(store.counters().sameFilledPages == 256);
  for (uint32_t i = 0; i < 256; i++) CHECK(guest.holds(guest.p(1, i), filledPage(i * 0x0101010101010101u)));
  CHECK(guest.flush(guest.p(1, 0), 256) == Status::kOk);
  CHECK(store.counters().sameFilledPages == 0);
  CHECK(store.checkInvariants() == "");
}

TEST_CASE("duplicates inside a group share bytes, and each guest is charged as if alone") {
  Store store(storeOf(8 * kMiB));
  TestGuest a(store, grouped("a", "g"));
  TestGuest b(store, grouped("b", "g"));
  for (uint32_t i = 0; i < 20; i++) CHECK(a.put(a.p(1, i), textPage(i)) == Status::kOk);
  uint64_t data = store.counters().dataBytes;
  for (uint32_t i = 0; i < 20; i++) CHECK(b.put(b.p(1, i), textPage(i)) == Status::kOk);
  CHECK(store.counters().dataBytes == data);
  CHECK(store.counters().dedupSavedPages == 20);
  CHECK(store.guestCounters(a.id).chargedBytes == store.guestCounters(b.id).chargedBytes);
  CHECK(b.counters().sharedPages == 20);
  CHECK(store.checkInvariants() == "");
  CHECK(a.flush(a.p(1, 0), 20) == Status::kOk);
  CHECK(store.counters().dataBytes == data);
  for (uint32_t i = 0; i < 20; i++) CHECK(b.holds(b.p(1, i), textPage(i)));
  store.removeGuest(a.id);
  for (uint32_t i = 0; i < 20; i++) CHECK(b.holds(b.p(1, i), textPage(i)));
  CHECK(b.flush(b.p(1, 0), 20) == Status::kOk);
  CHECK(store.counters().dataBytes == 0);
  CHECK(store.checkInvariants() == "");
}

TEST_CASE("nothing is shared between groups, nor by guests without one") {
  for (bool weak : {false, true}) {
    StoreOptions options = storeOf(8 * kMiB);
    options.weakHashForTest = weak;
    Store store(options);
    TestGuest a(store, grouped("a", "g"));
    TestGuest b(store, grouped("b", "h"));
    TestGuest c(store, guestNamed("c"));
    TestGuest d(store, guestNamed("d"));
    for (TestGuest* guest : {&a, &b, &c, &d}) CHECK(guest->put(guest->p(1, 1), textPage(1)) == Status::kOk);
    CHECK(store.counters().dedupSavedPages == 0);
    CHECK(store.checkInvariants() == "");
  }
}

TEST_CASE("with every hash colliding no page is taken for another") {
  StoreOptions options = storeOf(16 * kMiB);
  options.weakHashForTest = true;
  Store store(options);
  TestGuest a(store, grouped("a", "g"));
  TestGuest b(store, grouped("b", "g"));
  for (uint32_t i = 0; i < 300; i++) {
    CHECK(a.put(a.p(1, i), textPage(i / 2)) == Status::kOk);
    CHECK(b.put(b.p(1, i), randomPage(i / 2)) == Status::kOk);
  }
  for (uint32_t i = 0; i < 300; i++) {
    CHECK(a.holds(a.p(1, i), textPage(i / 2)));
    CHECK(b.holds(b.p(1, i), randomPage(i / 2)));
  }
  CHECK(store.counters().dedupSavedPages > 100);
  CHECK(store.checkInvariants() == "");
}

TEST_CASE("one content under very many keys stays right beyond the most references a block has") {
  Store store(storeOf(16 * kMiB));
  TestGuest guest(store, guestNamed("a"));
  for (uint32_t i = 0; i < 1000; i++) CHECK(guest.put(guest.p(i, i), textPage(1)) == Status::kOk);
  CHECK(store.counters().dedupSavedPages >= 960);
  CHECK(store.checkInvariants() == "");
  for (uint32_t i = 0; i < 1000; i++) {
    CHECK(guest.holds(guest.p(i, i), textPage(1)));
    CHECK(guest.flush(guest.p(i, i)) == Status::kOk);
  }
  CHECK(store.counters().dataBytes == 0);
  CHECK(store.checkInvariants() == "");
}

TEST_CASE("a put over its own only copy keeps the page") {
  Store store(storeOf(8 * kMiB));
  TestGuest guest(store, guestNamed("a"));
  for (int i = 0; i < 3; i++) CHECK(guest.put(guest.p(1, 1), textPage(1)) == Status::kOk);
  CHECK(guest.holds(guest.p(1, 1), textPage(1)));
  CHECK(store.checkInvariants() == "");
}

TEST_CASE("after a recovery, duplicates of the pages found are shared once the settler has walked over them") {
  constexpr uint32_t kPages = 20;
  MemoryFile copy;
  {
    StoreOptions options = storeOf(8 * kMiB);
    options.backgroundSettling = false;  // the arena stands still while it is copied
    MemoryFile file;
    options.arenaFd = file.fd;
    Store store(options);
    TestGuest a(store, grouped("a", "g"));
    TestGuest b(store, grouped("b", "g"));
    GuestOptions reserved = guestNamed("reserved");
    reserved.persistentReservePages = 3 * kPages;
    TestGuest c(store, reserved);
    for (uint32_t i = 0; i < kPages; i++) {
      REQUIRE(a.put(a.p(1, i), textPage(i)) == Status::kOk);
      REQUIRE(c.put(c.p(1, i), textPage(i)) == Status::kOk);
    }
    copy.write(file.read());
  }
  FastClock clock;
  StoreOptions recovering;
  recovering.backgroundClock = &clock;
  std::unique_ptr<Store> store = Store::recover(copy.fd, recovering);
  clock.pass(std::chrono::seconds(1));
  uint64_t data = store->counters().dataBytes;
  WorkerContext context;
  for (const char* name : {"b", "reserved"}) {
    GuestId guest = store->guestNamed(name).value();
    for (uint32_t i = 0; i < kPages; i++) {
      std::memcpy(context.page(), textPage(i).data(), kPageBytes);
      CHECK(store->put(context, guest, keyOf(0, 2, i)) == Status::kOk);
    }
    CHECK(store->guestCounters(guest).operations.sharedPages == kPages);
  }
  CHECK(store->counters().dataBytes == data);
  CHECK(store->checkInvariants() == "");
}
