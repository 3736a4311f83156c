// A store that ends and one that takes its arena over: what stays, and what a guest may
// be taken over with.
#include <doctest/doctest.h>
#include <sys/mman.h>
#include <unistd.h>

#include "native/store_fixture.h"

using namespace tmemd;

namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr uint32_t kPages = 300;

struct ArenaFile {
  ArenaFile() : fd(memfd_create("arena", MFD_ALLOW_SEALING)) { REQUIRE(fd >= 0); }
  ~ArenaFile() { close(fd); }
  ArenaFile(const ArenaFile&) = delete;
  ArenaFile& operator=(const ArenaFile&) = delete;

  std::unique_ptr<Store> make() const {
    StoreOptions options = storeOf(8 * kMiB);
    options.arenaFd = fd;
    return std::make_unique<Store>(options);
  }
  std::unique_ptr<Store> recover() const { return Store::recover(fd, storeOf(0)); }

  const int fd;
};

GuestOptions web() {
  GuestOptions options = guestNamed("web");
  options.dedupGroup = "tenant";
  options.persistentReservePages = 200;
  options.maxPools = 8;
  return options;
}

GuestOptions db() { return guestNamed("db"); }

void fill(TestGuest& guest, uint64_t seed) {
  for (uint32_t i = 0; i < kPages; i++) REQUIRE(guest.put(guest.p(i % 3, i), textPage(seed + i)) == Status::kOk);
  REQUIRE(guest.put(guest.e(1, 1), textPage(seed)) == Status::kOk);
}

// Through `id`, which TestGuest would make anew.
uint32_t pagesThatDiffer(Store& store, GuestId id, uint64_t seed) {
  WorkerContext context;
  uint32_t wrong = 0;
  for (uint32_t i = 0; i < kPages; i++) {
    Page page;
    GetOp op{.key = keyOf(0, i % 3, i), .out = page.data()};
    store.get(context, id, {&op, 1});
    wrong += op.status != Status::kOk || page != textPage(seed + i);
  }
  return wrong;
}

std::string refusalOf(Store& store, const GuestOptions& options) {
  try {
    store.addGuest(options);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

// Two guests that were left by a store that ended in good order.
struct Left {
  Left() {
    std::unique_ptr<Store> store = file.make();
    TestGuest a(*store, web()), b(*store, db());
    fill(a, 1000);
    fill(b, 5000);
    sessionOfWeb = a.session;
  }
  ArenaFile file;
  uint64_t sessionOfWeb = 0;
};

}  // namespace

TEST_CASE("a store that ends leaves its persistent pages to the next, which takes its guests over by name") {
  Left left;
  std::unique_ptr<Store> store = left.file.recover();
  REQUIRE(store->unclaimedGuests().size() == 2);
  GuestId b = store->addGuest(db());
  GuestId a = store->addGuest(web());
  CHECK(store->unclaimedGuests().empty());
  CHECK(store->guestCounters(a).operations.pages == kPages);
  CHECK(pagesThatDiffer(*store, a, 1000) == 0);
  CHECK(pagesThatDiffer(*store, b, 5000) == 0);
  CHECK(store->attach(a, left.sessionOfWeb) == Status::kOk);
  CHECK(store->checkInvariants() == "");
}

TEST_CASE("a store whose pages were all flushed ends as well") {
  ArenaFile file;
  {
    std::unique_ptr<Store> store = file.make();
    TestGuest guest(*store, db());
    fill(guest, 1);
    for (uint32_t i = 0; i < kPages; i++) REQUIRE(guest.flush(guest.p(i % 3, i)) == Status::kOk);
  }
  CHECK(file.recover()->unclaimedGuests().at(0).pages == 0);
  CHECK(file.recover()->checkInvariants() == "");
}

TEST_CASE("a guest that was not there before is new beside those that were") {
  Left left;
  std::unique_ptr<Store> store = left.file.recover();
  TestGuest fresh(*store, guestNamed("fresh"));
  CHECK(fresh.misses(fresh.p(0, 0)));
  CHECK(store->unclaimedGuests().size() == 2);
  // Claimed once, a name is taken like any: a second guest of it is another guest.
  GuestId first = store->addGuest(db());
  CHECK(store->addGuest(db()) != first);
}

TEST_CASE("what pages were accounted by cannot be other than it was; the rest may be, and lasts") {
  Left left;
  {
    std::unique_ptr<Store> store = left.file.recover();
    GuestOptions other = web();
    other.persistentReservePages = 100;
    CHECK(refusalOf(*store, other) == "guest web: reserve in pages 100: in the arena it is 200");
    other = web();
    other.dedupGroup = "";
    CHECK(refusalOf(*store, other) == "guest web: group none: in the arena it is \"tenant\"");
    other = web();
    other.maxPools = 9;
    CHECK(refusalOf(*store, other) == "guest web: most pools 9: in the arena it is 8");
    other = web();
    other.numaNode = 1;
    CHECK(refusalOf(*store, other) == "guest web: NUMA node 1: in the arena it is -1");
    other = web();
    other.weight = 0;
    CHECK(refusalOf(*store, other).find("guest web: weight 0") == 0);
    CHECK(store->unclaimedGuests().size() == 2);

    other = web();
    other.frozen = true;
    other.weight = 7;
    GuestId a = store->addGuest(other);
    CHECK(pagesThatDiffer(*store, a, 1000) == 0);
    CHECK(store->guestCounters(a).weight == 7);
  }
  std::unique_ptr<Store> store = left.file.recover();
  CHECK(store->guestCounters(*store->guestNamed("web")).weight == 7);
  CHECK(store->guestCounters(*store->guestNamed("web")).frozen == 1);
}

TEST_CASE("a guest nobody claims can be removed, and its memory is free") {
  Left left;
  std::unique_ptr<Store> store = left.file.recover();
  GuestId a = store->addGuest(web());
  for (const UnclaimedGuest& guest : store->unclaimedGuests()) {
    CHECK(guest.name == "db");
    CHECK(guest.pages == kPages);
    store->removeGuest(guest.id);
  }
  CHECK(store->unclaimedGuests().empty());
  CHECK(pagesThatDiffer(*store, a, 1000) == 0);
  CHECK(store->checkInvariants() == "");
  store.reset();
  CHECK(left.file.recover()->unclaimedGuests().size() == 1);
}
