// The requests of a virtio-blk queue, run in this thread: what each answers, what it leaves on the disk, and
// that nothing a driver writes does anything else.
#include "device/blk_requests.h"

#include <doctest/doctest.h>

#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "native/guest_fixture.h"
#include "native/store_fixture.h"

using namespace tmemd;
using namespace tmemd::test;

namespace {

constexpr uint64_t kBase = 0x1000'0000;
constexpr uint64_t kHeader = kBase + 0x8000;
constexpr uint64_t kStatus = kBase + 0x8100;
constexpr uint64_t kBody = kBase + 0x10000;
constexpr uint64_t kRamBytes = 2 << 20;
constexpr uint16_t kRingSize = 64;
constexpr uint64_t kDiskPages = 2048;  // two objects
constexpr uint64_t kDiskSectors = kDiskPages * 8;
constexpr uint8_t kUntouched = 0xee;

virtio_blk_outhdr header(uint32_t type, uint64_t sector = 0) { return {type, 0, sector}; }

virtio_blk_discard_write_zeroes range(uint64_t sector, uint32_t sectors, uint32_t flags = 0) {
  return {sector, sectors, flags};
}

// A disk, and a driver with one ring in guest memory.
struct Rig {
  Rig() : store(std::make_shared<Store>(storeOf(64 << 20))), ram(kRamBytes, kBase), ring(ram, kBase, kRingSize) {
    GuestOptions options = guestNamed("disk");
    options.persistentReservePages = kDiskPages;
    guest = store->addGuest(options);
    GuestMemory::Regions regions{std::make_shared<MappedRegion>(ram.region())};
    memory.emplace(std::move(regions));
    CHECK(queue.vring.start(ring.layout(), *memory) == "");
    connect();
  }

  // A new device on the same disk.
  void connect() {
    BlkRequests::Hooks hooks{[this] { return beganAtZero; }, [this] { ++begun; }, [this] { ++lost; }};
    blk.emplace(*store, guest, context, DiskOptions{kDiskPages, "a serial of more than 20 bytes"}, counters,
                std::move(hooks));
  }

  struct Done {
    int status;
    uint32_t usedLength;
  };

  Done submit(const std::vector<Buffer>& chain, uint64_t statusAddress = kStatus) {
    *ram.at<uint8_t>(statusAddress) = kUntouched;
    const uint16_t head = ring.add(chain);
    ring.publish();
    queue.vring.loadAvailableIndex();
    CHECK(blk->run(queue, *memory, 1) == PageRequests::Result::kDone);
    CHECK(ring.usedIndex() == static_cast<uint16_t>(completed + 1));
    const vring_used_elem element = ring.completion(completed++);
    CHECK(element.id == head);
    return {*ram.at<uint8_t>(statusAddress), element.len};
  }

  // Header, body to read, room to write, status, each in a descriptor of its own.
  Done request(const virtio_blk_outhdr& wire, uint32_t readableBytes = 0, uint32_t writableBytes = 0) {
    *ram.at<virtio_blk_outhdr>(kHeader) = wire;
    std::vector<Buffer> chain = {{kHeader, sizeof wire}};
    if (readableBytes) chain.push_back({kBody, readableBytes});
    if (writableBytes) chain.push_back({kBody, writableBytes, true});
    chain.push_back({kStatus, 1, true});
    return submit(chain);
  }

  Done forget(uint32_t type, const std::vector<virtio_blk_discard_write_zeroes>& ranges) {
    memcpy(ram.at<void>(kBody), ranges.data(), ranges.size() * sizeof ranges[0]);
    return request(header(type), static_cast<uint32_t>(ranges.size() * sizeof ranges[0]));
  }

  void write(uint64_t sector, uint8_t value, uint32_t sectors) {
    memset(ram.at<void>(kBody), value, sectors * 512);
    CHECK(request(header(VIRTIO_BLK_T_OUT, sector), sectors * 512).status == VIRTIO_BLK_S_OK);
  }

  // The one byte that all of these sectors hold; -1 when they differ.
  int read(uint64_t sector, uint32_t sectors) {
    memset(ram.at<void>(kBody), kUntouched, sectors * 512);
    const Done done = request(header(VIRTIO_BLK_T_IN, sector), 0, sectors * 512);
    CHECK(done.status == VIRTIO_BLK_S_OK);
    CHECK(done.usedLength == sectors * 512 + 1);
    const uint8_t* bytes = ram.at<uint8_t>(kBody);
    for (uint32_t i = 1; i < sectors * 512; ++i)
      if (bytes[i] != bytes[0]) return -1;
    return bytes[0];
  }

  uint64_t pages() const { return store->guestCounters(guest).operations.pages; }

  std::shared_ptr<Store> store;
  GuestId guest{};
  GuestRam ram;
  DriverRing ring;
  std::optional<GuestMemory> memory;
  Queue queue;
  WorkerContext context;
  DeviceCounters counters;
  std::optional<BlkRequests> blk;
  uint16_t completed = 0;
  bool beganAtZero = true;
  int begun = 0;
  int lost = 0;
};

}  // namespace

TEST_CASE("what was never written reads as zeros and takes no page") {
  Rig rig;
  CHECK(rig.read(0, 64) == 0);
  CHECK(rig.read(kDiskSectors - 1, 1) == 0);
  CHECK(rig.pages() == 0);
  CHECK(rig.begun == 1);
}

TEST_CASE("a write of part of a page leaves the rest of it") {
  Rig rig;
  rig.write(8, 1, 16);
  rig.write(15, 2, 2);
  CHECK(rig.read(8, 7) == 1);
  CHECK(rig.read(15, 2) == 2);
  CHECK(rig.read(17, 7) == 1);
  CHECK(rig.read(0, 8) == 0);
  rig.write(100, 3, 1);  // of a page that was not there
  CHECK(rig.read(96, 4) == 0);
  CHECK(rig.read(100, 1) == 3);
  CHECK(rig.read(101, 3) == 0);
  CHECK(rig.pages() == 3);
}

TEST_CASE("a discard lets go of whole pages and leaves the parts of others") {
  Rig rig;
  rig.write(0, 7, 64);
  CHECK(rig.forget(VIRTIO_BLK_T_DISCARD, {range(4, 16), range(33, 6)}).status == VIRTIO_BLK_S_OK);
  CHECK(rig.pages() == 7);
  CHECK(rig.read(0, 8) == 7);
  CHECK(rig.read(8, 8) == 0);
  CHECK(rig.read(16, 48) == 7);
}

TEST_CASE("write-zeroes zeroes what it says, across objects, and lets go of whole pages") {
  Rig rig;
  const uint64_t edge = 1024 * 8;  // where the second object begins
  rig.write(edge - 32, 7, 64);
  const auto flags = VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
  CHECK(rig.forget(VIRTIO_BLK_T_WRITE_ZEROES, {range(edge - 12, 22, flags), range(edge + 25, 3)}).status ==
        VIRTIO_BLK_S_OK);
  CHECK(rig.pages() == 6);
  CHECK(rig.read(edge - 32, 20) == 7);
  CHECK(rig.read(edge - 12, 22) == 0);
  CHECK(rig.read(edge + 10, 15) == 7);
  CHECK(rig.read(edge + 25, 3) == 0);
  CHECK(rig.read(edge + 28, 4) == 7);
  CHECK(rig.forget(VIRTIO_BLK_T_WRITE_ZEROES, {range(0, kDiskSectors)}).status == VIRTIO_BLK_S_OK);
  CHECK(rig.pages() == 0);
}

TEST_CASE("a page that is damaged is an error to read, whole or in part, until it is written whole") {
  Rig rig;
  const Page page = randomPage(1);
  memcpy(rig.ram.at<void>(kBody), page.data(), page.size());
  CHECK(rig.request(header(VIRTIO_BLK_T_OUT, 16), kPageBytes).status == VIRTIO_BLK_S_OK);
  const PoolId pool = rig.store->poolCounters(rig.guest).front().pool;
  REQUIRE(StoreTestAccess::damage(*rig.store, rig.guest, keyOf(pool, 0, 2)));

  const Rig::Done read = rig.request(header(VIRTIO_BLK_T_IN, 8), 0, 3 * kPageBytes);
  CHECK(read.status == VIRTIO_BLK_S_IOERR);
  CHECK(read.usedLength == 1);
  CHECK(rig.request(header(VIRTIO_BLK_T_IN, 17), 0, 512).status == VIRTIO_BLK_S_IOERR);
  CHECK(rig.request(header(VIRTIO_BLK_T_OUT, 17), 512).status == VIRTIO_BLK_S_IOERR);
  CHECK(rig.forget(VIRTIO_BLK_T_WRITE_ZEROES, {range(16, 1)}).status == VIRTIO_BLK_S_IOERR);
  rig.write(16, 5, 8);
  CHECK(rig.read(8, 8) == 0);
  CHECK(rig.read(16, 8) == 5);
}

TEST_CASE("who asks for the id gets 20 bytes of it") {
  Rig rig;
  CHECK(rig.request(header(VIRTIO_BLK_T_GET_ID), 0, 20).status == VIRTIO_BLK_S_OK);
  CHECK(std::string(rig.ram.at<char>(kBody), 20) == "a serial of more tha");
}

TEST_CASE("a request that is not well formed is answered, and does nothing") {
  struct Case {
    const char* what;
    virtio_blk_outhdr wire;
    uint32_t readableBytes;
    uint32_t writableBytes;
    int status;
  };
  constexpr uint64_t kFar = ~uint64_t{0};
  const std::vector<Case> cases = {
      {"a read of half a sector", header(VIRTIO_BLK_T_IN), 0, 256, VIRTIO_BLK_S_IOERR},
      {"a write of a sector and a byte", header(VIRTIO_BLK_T_OUT), 513, 0, VIRTIO_BLK_S_IOERR},
      {"a read past the end", header(VIRTIO_BLK_T_IN, kDiskSectors), 0, 512, VIRTIO_BLK_S_IOERR},
      {"a read across the end", header(VIRTIO_BLK_T_IN, kDiskSectors - 1), 0, 1024, VIRTIO_BLK_S_IOERR},
      {"a write past the end", header(VIRTIO_BLK_T_OUT, kDiskSectors), 512, 0, VIRTIO_BLK_S_IOERR},
      {"a write across the end", header(VIRTIO_BLK_T_OUT, kDiskSectors - 1), 1024, 0, VIRTIO_BLK_S_IOERR},
      {"the last sector there could be", header(VIRTIO_BLK_T_OUT, kFar), 512, 0, VIRTIO_BLK_S_IOERR},
      {"a sector whose bytes wrap", header(VIRTIO_BLK_T_OUT, kFar / 512 + 1), 512, 0, VIRTIO_BLK_S_IOERR},
      {"no such type", header(2), 0, 0, VIRTIO_BLK_S_UNSUPP},
      {"secure erase", header(VIRTIO_BLK_T_SECURE_ERASE), 16, 0, VIRTIO_BLK_S_UNSUPP},
      {"a type of high bits", header(0x8000'0001), 512, 0, VIRTIO_BLK_S_UNSUPP},
      {"a discard of nothing", header(VIRTIO_BLK_T_DISCARD), 0, 0, VIRTIO_BLK_S_IOERR},
      {"a discard of a range and a byte", header(VIRTIO_BLK_T_DISCARD), 17, 0, VIRTIO_BLK_S_IOERR},
      {"a discard of 17 ranges", header(VIRTIO_BLK_T_DISCARD), 17 * 16, 0, VIRTIO_BLK_S_IOERR},
  };
  Rig rig;
  rig.write(0, 7, 8);
  rig.write(kDiskSectors - 8, 7, 8);
  uint64_t bad = 0;
  for (const Case& c : cases) {
    CAPTURE(c.what);
    memset(rig.ram.at<void>(kBody), 0, 4096);
    const Rig::Done done = rig.request(c.wire, c.readableBytes, c.writableBytes);
    CHECK(done.status == c.status);
    CHECK(done.usedLength == 1);
    CHECK(rig.counters.badRequestsTotal.read() == ++bad);
  }
  CHECK(rig.read(0, 8) == 7);
  CHECK(rig.read(kDiskSectors - 8, 8) == 7);
  CHECK(rig.pages() == 2);
}

TEST_CASE("one bad range spoils a discard or a write-zeroes before anything is done") {
  Rig rig;
  rig.write(0, 7, 64);
  const auto good = range(0, 8);
  for (uint32_t type : {VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES}) {
    CHECK(rig.forget(type, {good, range(kDiskSectors, 8)}).status == VIRTIO_BLK_S_IOERR);
    CHECK(rig.forget(type, {good, range(kDiskSectors - 8, 16)}).status == VIRTIO_BLK_S_IOERR);
    CHECK(rig.forget(type, {good, range(~uint64_t{0}, 1)}).status == VIRTIO_BLK_S_IOERR);
    CHECK(rig.forget(type, {good, range(0, ~uint32_t{0})}).status == VIRTIO_BLK_S_IOERR);
    CHECK(rig.forget(type, {good, range(8, 8, 2)}).status == VIRTIO_BLK_S_UNSUPP);
  }
  CHECK(rig.forget(VIRTIO_BLK_T_DISCARD, {good, range(8, 8, 1)}).status == VIRTIO_BLK_S_UNSUPP);
  CHECK(rig.read(0, 64) == 7);
  CHECK(rig.pages() == 8);
  CHECK(rig.forget(VIRTIO_BLK_T_DISCARD, {range(kDiskSectors, 0)}).status == VIRTIO_BLK_S_OK);
}

TEST_CASE("a chain without room for a status, or with a bad address, is consumed and counted") {
  Rig rig;
  rig.write(0, 7, 8);
  *rig.ram.at<virtio_blk_outhdr>(kHeader) = header(VIRTIO_BLK_T_OUT, 0);
  const std::vector<std::vector<Buffer>> chains = {
      {{kHeader, 16}, {kBody, 512}},
      {{kHeader, 16}, {kBody, 512}, {kStatus, 0, true}},
      {{kHeader, 16}, {kBase + kRamBytes - 256, 512}, {kStatus, 1, true}},
      {{kHeader, 16}, {kBody, 512}, {kBase + kRamBytes, 1, true}},
  };
  uint64_t broken = 0;
  for (const auto& chain : chains) {
    const Rig::Done done = rig.submit(chain);
    CHECK(done.usedLength == 0);
    CHECK(done.status == kUntouched);
    CHECK(rig.counters.brokenChainsTotal.read() == ++broken);
  }
  // A header that is cut short can be answered.
  CHECK(rig.submit({{kHeader, 15}, {kStatus, 1, true}}).status == VIRTIO_BLK_S_IOERR);
  CHECK(rig.submit({{kStatus, 1, true}}).status == VIRTIO_BLK_S_IOERR);
  CHECK(rig.read(0, 8) == 7);
}

TEST_CASE("the status is the last writable byte, however the chain is cut") {
  Rig rig;
  rig.write(0, 7, 8);
  *rig.ram.at<virtio_blk_outhdr>(kHeader) = header(VIRTIO_BLK_T_IN, 0);
  const Rig::Done read = rig.submit({{kHeader, 3}, {kHeader + 3, 13}, {kBody, 100, true}, {kBody + 100, 3997, true}},
                                    kBody + 4096);
  CHECK(read.status == VIRTIO_BLK_S_OK);
  CHECK(read.usedLength == 4097);
  CHECK(*rig.ram.at<uint8_t>(kBody + 99) == 7);
  CHECK(*rig.ram.at<uint8_t>(kBody + 4095) == 7);
}

TEST_CASE("a run ends after some MiB, so that commands and other rings are looked at") {
  Rig rig;
  // One descriptor's memory sixteen times: 15.5 MiB.
  *rig.ram.at<virtio_blk_outhdr>(kHeader) = header(VIRTIO_BLK_T_IN, 0);
  for (int i = 0; i < 3; ++i) {
    std::vector<Buffer> chain = {{kHeader, 16}};
    for (int n = 0; n < 4; ++n) chain.push_back({kBase + 0x20000, 0x1c0000, true});
    chain.push_back({kStatus, 1, true});
    rig.ring.add(chain);
  }
  rig.ring.publish();
  rig.queue.vring.loadAvailableIndex();
  for (uint16_t done = 1; done <= 3; ++done) {
    CHECK(rig.blk->run(rig.queue, *rig.memory, 64) == PageRequests::Result::kDone);
    CHECK(rig.ring.usedIndex() == done);
  }
}

TEST_CASE("a new device goes on with the disk; one in midstream of a disk that is gone fails until it starts anew") {
  Rig rig;
  rig.write(0, 7, 8);
  rig.connect();
  rig.beganAtZero = false;
  CHECK(rig.read(0, 8) == 7);
  CHECK(rig.begun == 1);

  rig.store->dropPools(rig.guest);
  CHECK(rig.request(header(VIRTIO_BLK_T_IN), 0, 512).status == VIRTIO_BLK_S_IOERR);
  rig.connect();
  CHECK(rig.request(header(VIRTIO_BLK_T_IN), 0, 512).status == VIRTIO_BLK_S_IOERR);
  CHECK(rig.request(header(VIRTIO_BLK_T_OUT), 512).status == VIRTIO_BLK_S_IOERR);
  CHECK(rig.request(header(VIRTIO_BLK_T_FLUSH)).status == VIRTIO_BLK_S_IOERR);
  CHECK(rig.lost == 1);

  rig.beganAtZero = true;
  rig.blk->ringStarted();
  CHECK(rig.read(0, 8) == 0);
  CHECK(rig.begun == 2);
}

TEST_CASE("requests of chance leave the store sound and another guest's page alone") {
  const uint32_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  const auto next = [&] { return static_cast<uint32_t>(random()); };
  const auto below = [&](uint32_t bound) { return next() % bound; };
  Rig rig;
  TestGuest other(*rig.store, guestNamed("other"));
  const Page page = textPage(9);
  REQUIRE(other.put(other.p(0, 0), page) == Status::kOk);
  const uint32_t types[] = {VIRTIO_BLK_T_IN,      VIRTIO_BLK_T_OUT,          VIRTIO_BLK_T_FLUSH, VIRTIO_BLK_T_GET_ID,
                            VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES, 5};
  for (int i = 0; i < 4000; ++i) {
    auto* wire = rig.ram.at<virtio_blk_outhdr>(kHeader);
    *wire = {types[below(7)], next(), below(4) ? below(kDiskSectors + 16) : (uint64_t{next()} << 32 | next())};
    auto* first = rig.ram.at<virtio_blk_discard_write_zeroes>(kBody);
    for (int n = 0; n < 3; ++n) first[n] = {below(kDiskSectors + 16), below(4) ? below(200) : next(), below(3)};
    std::vector<Buffer> chain;
    for (uint32_t left = below(4); left > 0 || chain.empty(); left -= left > 0)
      chain.push_back({chain.empty() ? kHeader : kBody + below(8192), chain.empty() ? 16 : below(64) * 128});
    for (uint32_t left = below(4); left > 0; --left) chain.push_back({kBody + below(8192), below(64) * 128 + 1, true});
    rig.submit(chain);
  }
  CHECK(other.holds(other.p(0, 0), page));
  CHECK(rig.store->checkInvariants() == "");
  CHECK(rig.pages() <= kDiskPages);
  CHECK(rig.store->guestCounters(rig.guest).operations.putsTotal ==
        rig.store->guestCounters(rig.guest).operations.putsGoodTotal);
}
