// A whole device in process: rings in a memfd, requests through them.
#include "device/device.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/virtio_tmem.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "device/front_end_error.h"
#include "native/guest_fixture.h"

using namespace tmemd;
using namespace tmemd::test;

namespace {

// For what is bound to happen: as long as a worker may be kept off the processor.
constexpr std::chrono::seconds kPatience{60};

// What a device reported, waited for without sleeping.
class Events {
 public:
  void add(const DeviceEvent& event) {
    std::lock_guard lock(mutex_);
    events_.push_back(event);
    changed_.notify_all();
  }
  int count(DeviceEvent::Type type) {
    std::lock_guard lock(mutex_);
    int count = 0;
    for (const DeviceEvent& event : events_) count += event.type == type;
    return count;
  }
  bool wait(DeviceEvent::Type type) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] {
      for (const DeviceEvent& event : events_)
        if (event.type == type) return true;
      return false;
    });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<DeviceEvent> events_;
};

class Call {
 public:
  Device::Done done() {
    return [this](const Outcome& outcome) {
      std::lock_guard lock(mutex_);
      outcome_ = outcome;
      finished_ = true;
      changed_.notify_all();
    };
  }
  Outcome wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return finished_; });
    return outcome_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool finished_ = false;
  Outcome outcome_;
};

constexpr uint64_t kBase = 0x1000'0000;
constexpr uint16_t kRingSize = 64;

int openDescriptors() {
  const auto entries = std::filesystem::directory_iterator("/proc/self/fd");
  return static_cast<int>(std::distance(begin(entries), end(entries)));
}

virtio_tmem_req makeRequest(uint16_t op) {
  virtio_tmem_req request = {};
  request.op = op;
  return request;
}

// Of object {1, 2, 3}.
virtio_tmem_req makeRequest(uint16_t op, uint32_t pool, uint32_t index, uint32_t pageCount = 1) {
  return {op, 0, pool, {1, 2, 3}, index, pageCount};
}

// A guest with a control queue and two page queues, set up and enabled.
struct Guest {
  explicit Guest(bool eventIdx = true) : ram(1 << 20, kBase), store(std::make_shared<Store>(options())) {
    guest = store->addGuest({.name = "test", .dedupGroup = {}});
    DeviceOptions deviceOptions;
    deviceOptions.queueCount = 3;
    deviceOptions.memoryMapBytesMax = 3 << 20;
    deviceOptions.onEvent = [this](const DeviceEvent& event) { events.add(event); };
    device.emplace(store, guest, std::move(deviceOptions));
    std::vector<RegionSetup> regions;
    regions.push_back(ram.region());
    CHECK(wait([&](auto done) { device->setMemoryTable(Device::map(std::move(regions)), done); }).error == "");
    for (uint16_t i = 0; i < 3; ++i) {
      rings.emplace_back(ram, kBase + i * 0x2000, kRingSize);
      kicks[i] = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);  // readable at the start, as QEMU's are
      calls[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
      VringSetup setup{rings[i].layout(eventIdx), OwnedFd(dup(kicks[i])), OwnedFd(dup(calls[i]))};
      CHECK(wait([&](auto done) { device->startVring(i, std::move(setup), done); }).error == "");
      CHECK(wait([&](auto done) { device->enableVring(i, true, done); }).error == "");
    }
  }
  ~Guest() {
    device.reset();
    for (int i = 0; i < 3; ++i) {
      ::close(kicks[i]);
      ::close(calls[i]);
    }
  }

  static StoreOptions options() {
    StoreOptions options;
    options.capacityBytes = std::max<uint64_t>(Store::minimumCapacityBytes(), 64 << 20);
    return options;
  }

  template <typename Begin>
  static Outcome wait(Begin begin) {
    Call call;
    begin(call.done());
    return call.wait();
  }

  void kick(int queue) { eventfd_write(kicks[queue], 1); }

  // A kick that wakes the worker: one that finds it polling is a wake-up only once it goes to sleep, and kicks
  // until then are one. False when it never did.
  bool kickAwake(int queue) {
    const uint64_t before = device->counters().kicksTotal.read();
    kick(queue);
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (device->counters().kicksTotal.read() == before) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::yield();
    }
    return true;
  }

  // Waits by the interrupt, as a driver that sleeps does.
  bool waitUsed(int queue, uint16_t index) {
    for (;;) {
      rings[queue].setUsedEvent(static_cast<uint16_t>(index - 1));
      if (rings[queue].usedIndex() == index) return true;
      pollfd ready = {calls[queue], POLLIN, 0};
      if (poll(&ready, 1, static_cast<int>(std::chrono::milliseconds(kPatience).count())) != 1) return false;
      eventfd_t count;
      eventfd_read(calls[queue], &count);
    }
  }

  // One request through `queue`, from a fixed place in memory; the page data is at kData.
  static constexpr uint64_t kRequest = kBase + 0x8000;
  static constexpr uint64_t kResponse = kBase + 0x8100;
  static constexpr uint64_t kData = kBase + 0x10000;

  virtio_tmem_resp request(int queue, const virtio_tmem_req& wire, std::vector<Buffer> readable = {},
                           std::vector<Buffer> writable = {}) {
    *ram.at<virtio_tmem_req>(kRequest) = wire;
    memset(ram.at<void>(kResponse), 0xee, sizeof(virtio_tmem_resp));
    std::vector<Buffer> chain = {{kRequest, sizeof wire}};
    chain.insert(chain.end(), readable.begin(), readable.end());
    chain.push_back({kResponse, sizeof(virtio_tmem_resp), true});
    for (Buffer buffer : writable) chain.push_back({buffer.address, buffer.sizeBytes, true});
    const uint16_t head = rings[queue].add(chain);
    rings[queue].publish();
    kick(queue);
    const uint16_t index = ++completed[queue];
    REQUIRE(waitUsed(queue, index));
    const vring_used_elem element = rings[queue].completion(static_cast<uint16_t>(index - 1));
    CHECK(element.id == head);
    usedLength = element.len;
    return *ram.at<virtio_tmem_resp>(kResponse);
  }

  virtio_tmem_resp reset() { return request(0, makeRequest(VIRTIO_TMEM_OP_RESET)); }
  uint32_t createPool(bool persistent) {
    virtio_tmem_req wire = makeRequest(VIRTIO_TMEM_OP_POOL_CREATE);
    wire.flags = persistent ? VIRTIO_TMEM_POOL_PERSISTENT : 0;
    wire.index = VIRTIO_TMEM_PAGE_SHIFT;
    const virtio_tmem_resp response = request(0, wire);
    CHECK(response.status == VIRTIO_TMEM_S_OK);
    return static_cast<uint32_t>(response.value);
  }
  void fill(uint64_t address, uint8_t seed) {
    for (uint32_t i = 0; i < kPageBytes; ++i)
      *ram.at<uint8_t>(address + i) = static_cast<uint8_t>(seed + i * i);
  }

  GuestRam ram;
  std::shared_ptr<Store> store;
  GuestId guest;
  Events events;
  std::optional<Device> device;
  std::vector<DriverRing> rings;
  int kicks[3];
  int calls[3];
  uint16_t completed[3] = {0, 0, 0};
  uint32_t usedLength = 0;
};

}  // namespace

TEST_CASE("a page put is got back bit for bit") {
  for (bool eventIdx : {false, true}) {
    Guest guest(eventIdx);
    const virtio_tmem_resp opened = guest.reset();
    CHECK(opened.status == VIRTIO_TMEM_S_OK);
    CHECK(opened.value != 0);
    CHECK(guest.events.wait(DeviceEvent::Type::kSessionOpened));
    const uint32_t pool = guest.createPool(true);

    const uint64_t from = Guest::kData, to = Guest::kData + 0x2000;
    guest.fill(from, 7);
    virtio_tmem_req wire = makeRequest(VIRTIO_TMEM_OP_PUT, pool, 9);
    CHECK(guest.request(1, wire, {{from, 4096}}).status == VIRTIO_TMEM_S_OK);
    CHECK(guest.usedLength == 16);

    wire.op = VIRTIO_TMEM_OP_GET;
    const virtio_tmem_resp got = guest.request(1, wire, {}, {{to, 4096}});
    CHECK(got.status == VIRTIO_TMEM_S_OK);
    CHECK(got.nr_done == 1);
    CHECK(guest.usedLength == 16 + 4096);
    CHECK(memcmp(guest.ram.at<void>(from), guest.ram.at<void>(to), 4096) == 0);

    wire.op = VIRTIO_TMEM_OP_FLUSH;
    CHECK(guest.request(1, wire).status == VIRTIO_TMEM_S_OK);
    wire.op = VIRTIO_TMEM_OP_GET;
    CHECK(guest.request(1, wire, {}, {{to, 4096}}).status == VIRTIO_TMEM_S_MISS);
    CHECK(guest.usedLength == 16);
  }
}

TEST_CASE("before RESET every request is answered NO_SESSION") {
  Guest guest;
  CHECK(guest.request(1, makeRequest(VIRTIO_TMEM_OP_FLUSH, 0, 0)).status == VIRTIO_TMEM_S_NO_SESSION);
  CHECK(guest.request(0, makeRequest(VIRTIO_TMEM_OP_STAT)).status == VIRTIO_TMEM_S_NO_SESSION);
  virtio_tmem_req attach = makeRequest(VIRTIO_TMEM_OP_ATTACH);
  attach.oid[0] = 99;
  CHECK(guest.request(0, attach).status == VIRTIO_TMEM_S_NO_SESSION);
}

TEST_CASE("requests cut into descriptors anyhow are the same requests") {
  for (uint32_t cut : {1u, 7u, 40u, 512u, 4096u, 100'000u}) {
    CAPTURE(cut);
    Guest guest;
    guest.reset();
    const uint32_t pool = guest.createPool(true);
    // The request and two pages in one run, cut every `cut` bytes where the ring has room for that.
    const uint64_t from = Guest::kData, to = Guest::kData + 0x8000;
    const uint32_t step = std::max(cut, 2 * 4096u / 24);
    guest.fill(from, 3);
    guest.fill(from + 4096, 99);
    std::vector<Buffer> readable, writable;
    for (uint32_t at = 0; at < 2 * 4096; at += step) {
      readable.push_back({from + at, std::min(step, 2 * 4096 - at)});
      writable.push_back({to + at, std::min(step, 2 * 4096 - at)});
    }
    CHECK(guest.request(1, makeRequest(VIRTIO_TMEM_OP_PUT, pool, 0, 2), readable).nr_done == 2);
    const virtio_tmem_resp got = guest.request(1, makeRequest(VIRTIO_TMEM_OP_GET, pool, 0, 2), {}, writable);
    CHECK(got.status == VIRTIO_TMEM_S_OK);
    CHECK(guest.usedLength == 16 + 2 * 4096);
    CHECK(memcmp(guest.ram.at<void>(from), guest.ram.at<void>(to), 2 * 4096) == 0);
  }
}

TEST_CASE("a get of several pages stops at the first that is not there") {
  Guest guest;
  guest.reset();
  const uint32_t pool = guest.createPool(false);
  for (uint32_t index : {0u, 1u, 3u}) {
    guest.fill(Guest::kData, static_cast<uint8_t>(index));
    CHECK(guest.request(1, makeRequest(VIRTIO_TMEM_OP_PUT, pool, index), {{Guest::kData, 4096}}).nr_done ==
          1);
  }
  const uint64_t to = Guest::kData + 0x8000;
  memset(guest.ram.at<void>(to), 0xcc, 4 * 4096);
  virtio_tmem_req get = makeRequest(VIRTIO_TMEM_OP_GET, pool, 0, 4);
  get.flags = VIRTIO_TMEM_GET_EXCLUSIVE;
  const virtio_tmem_resp got = guest.request(1, get, {}, {{to, 4 * 4096}});
  CHECK(got.status == VIRTIO_TMEM_S_MISS);
  CHECK(got.nr_done == 2);
  CHECK(guest.usedLength == 16 + 2 * 4096);
  for (uint64_t at = 2 * 4096; at < 4 * 4096; at += 512) CHECK(*guest.ram.at<uint8_t>(to + at) == 0xcc);
  // What was not delivered was not removed.
  CHECK(guest.request(1, makeRequest(VIRTIO_TMEM_OP_GET, pool, 3), {}, {{to, 4096}}).nr_done == 1);
  CHECK(guest.request(1, makeRequest(VIRTIO_TMEM_OP_GET, pool, 0), {}, {{to, 4096}}).nr_done == 0);
}

TEST_CASE("a refused put of several pages leaves nothing under the keys it did not reach") {
  Guest guest;
  guest.reset();
  const uint32_t pool = guest.createPool(true);
  const uint64_t from = Guest::kData, to = Guest::kData + 0x8000;
  for (uint32_t index : {0u, 2u, 3u, 4u}) {
    guest.fill(from, static_cast<uint8_t>(index));
    CHECK(guest.request(1, makeRequest(VIRTIO_TMEM_OP_PUT, pool, index), {{from, 4096}}).nr_done == 1);
  }
  // Pages that replace others still fit, the new one at index 1 does not.
  GuestTuning tuning;
  tuning.persistentLimitPages = 4;
  guest.store->updateGuest(guest.guest, tuning);
  for (uint8_t page = 0; page < 4; ++page) guest.fill(from + page * 4096u, static_cast<uint8_t>(0x40 + page));
  const virtio_tmem_resp put = guest.request(1, makeRequest(VIRTIO_TMEM_OP_PUT, pool, 0, 4), {{from, 4 * 4096}});
  CHECK(put.status == VIRTIO_TMEM_S_REFUSED);
  CHECK(put.nr_done == 1);

  auto get = [&](uint32_t index) {
    return guest.request(1, makeRequest(VIRTIO_TMEM_OP_GET, pool, index), {}, {{to, 4096}}).status;
  };
  CHECK(get(0) == VIRTIO_TMEM_S_OK);
  CHECK(memcmp(guest.ram.at<void>(from), guest.ram.at<void>(to), 4096) == 0);
  for (uint32_t index : {1u, 2u, 3u}) CHECK(get(index) == VIRTIO_TMEM_S_MISS);
  CHECK(get(4) == VIRTIO_TMEM_S_OK);  // not part of the request
}

TEST_CASE("an exclusive get on a persistent pool is a bad request and takes nothing") {
  Guest guest;
  guest.reset();
  const uint32_t pool = guest.createPool(true);
  guest.request(1, makeRequest(VIRTIO_TMEM_OP_PUT, pool, 0), {{Guest::kData, 4096}});
  virtio_tmem_req get = makeRequest(VIRTIO_TMEM_OP_GET, pool, 0);
  get.flags = VIRTIO_TMEM_GET_EXCLUSIVE;
  CHECK(guest.request(1, get, {}, {{Guest::kData, 4096}}).status == VIRTIO_TMEM_S_BAD_REQUEST);
  CHECK(guest.usedLength == 16);
  get.flags = 0;
  CHECK(guest.request(1, get, {}, {{Guest::kData, 4096}}).status == VIRTIO_TMEM_S_OK);
}

TEST_CASE("requests of one queue take effect and complete in order, gets in batches or not") {
  Guest guest;
  guest.reset();
  const uint32_t pool = guest.createPool(true);
  // put i, get i, flush i, get i, thirty times over one key, submitted at once.
  constexpr int kRounds = 4, kPerRound = 4;
  std::vector<uint16_t> heads;
  std::vector<virtio_tmem_resp*> responses;
  for (int i = 0; i < kRounds * kPerRound; ++i) {
    const uint64_t place = Guest::kData + static_cast<uint64_t>(i) * 0x2000;
    const uint16_t op = i % 4 == 0   ? VIRTIO_TMEM_OP_PUT
                        : i % 4 == 2 ? VIRTIO_TMEM_OP_FLUSH
                                     : VIRTIO_TMEM_OP_GET;
    *guest.ram.at<virtio_tmem_req>(place) = makeRequest(op, pool, 5);
    memset(guest.ram.at<void>(place + 0x1000), i, 4096);
    std::vector<Buffer> chain = {{place, 40}};
    if (op == VIRTIO_TMEM_OP_PUT) chain.push_back({place + 0x1000, 4096});
    chain.push_back({place + 64, 16, true});
    if (op == VIRTIO_TMEM_OP_GET) chain.push_back({place + 0x1000, 4096, true});
    heads.push_back(guest.rings[1].add(chain));
    responses.push_back(guest.ram.at<virtio_tmem_resp>(place + 64));
  }
  guest.rings[1].publish();
  guest.kick(1);
  REQUIRE(guest.waitUsed(1, kRounds * kPerRound));
  for (uint16_t i = 0; i < heads.size(); ++i) {
    CAPTURE(i);
    CHECK(guest.rings[1].completion(i).id == heads[i]);
    CHECK(responses[i]->status == (i % 4 == 3 ? VIRTIO_TMEM_S_MISS : VIRTIO_TMEM_S_OK));
    // A get found what the put before it held.
    if (i % 4 == 1) CHECK(*guest.ram.at<uint8_t>(Guest::kData + i * 0x2000u + 0x1000) == i - 1);
  }
}

TEST_CASE("RESET waits for what was accepted before it on other queues, and drops it") {
  Guest guest;
  guest.reset();
  const uint32_t pool = guest.createPool(true);
  for (int round = 0; round < 50; ++round) {
    // Offered on both page queues and never kicked there; then RESET.
    for (int queue : {1, 2}) {
      for (int i = 0; i < 8; ++i) {
        const uint64_t place = Guest::kData + static_cast<uint64_t>(queue * 8 + i) * 0x1000;
        *guest.ram.at<virtio_tmem_req>(place) =
            makeRequest(VIRTIO_TMEM_OP_PUT, pool, static_cast<uint32_t>(i));
        guest.rings[queue].add({{place, 40}, {Guest::kData + 0x20000, 4096}, {place + 64, 16, true}});
      }
      guest.rings[queue].publish();
      guest.completed[queue] = static_cast<uint16_t>(guest.completed[queue] + 8);
    }
    CHECK(guest.reset().status == VIRTIO_TMEM_S_OK);
    for (int queue : {1, 2}) CHECK(guest.rings[queue].usedIndex() == guest.completed[queue]);
    CHECK(guest.store->pagesHeld(guest.guest) == 0);
  }
}

TEST_CASE("a broken chain is consumed and counted; a broken queue is reported and leaves the others alone") {
  Guest guest;
  guest.reset();
  const uint32_t pool = guest.createPool(true);
  guest.rings[1].add({{0x10, 40}, {Guest::kResponse, 16, true}});
  guest.rings[1].publish();
  guest.kick(1);
  REQUIRE(guest.waitUsed(1, ++guest.completed[1]));
  CHECK(guest.rings[1].completion(0).len == 0);
  CHECK(guest.device->counters().brokenChainsTotal.read() == 1);
  CHECK(guest.request(1, makeRequest(VIRTIO_TMEM_OP_FLUSH, pool, 0)).status == VIRTIO_TMEM_S_OK);

  std::atomic_ref<uint16_t>(guest.rings[1].available->idx).fetch_add(1000);
  guest.kick(1);
  CHECK(guest.events.wait(DeviceEvent::Type::kQueueBroken));
  CHECK(guest.request(2, makeRequest(VIRTIO_TMEM_OP_FLUSH, pool, 0)).status == VIRTIO_TMEM_S_OK);
}

TEST_CASE("a stopped ring tells where it stood and goes on there") {
  Guest guest;
  guest.reset();
  for (uint16_t restarts = 0; restarts < 3; ++restarts) {
    const Outcome stopped = Guest::wait([&](auto done) { guest.device->stopVring(0, done); });
    CHECK(stopped.error == "");
    CHECK(stopped.value == guest.completed[0]);
    CHECK(Guest::wait([&](auto done) { guest.device->stopVring(0, done); }).error ==
          "queue 0 is not started");

    // Offered while stopped: served after the start, without another kick.
    *guest.ram.at<virtio_tmem_req>(Guest::kRequest) = makeRequest(VIRTIO_TMEM_OP_RESET);
    guest.rings[0].add({{Guest::kRequest, 40}, {Guest::kResponse, 16, true}});
    guest.rings[0].publish();
    VringSetup setup{guest.rings[0].layout(true), OwnedFd(dup(guest.kicks[0])), OwnedFd(dup(guest.calls[0]))};
    setup.layout.lastAvailableIndex = static_cast<uint16_t>(stopped.value);
    CHECK(Guest::wait([&](auto done) { guest.device->startVring(0, std::move(setup), done); }).error == "");
    REQUIRE(guest.waitUsed(0, ++guest.completed[0]));
  }
}

TEST_CASE("STAT tells limit and target as they are now; that a driver asks is reported once a start of its ring") {
  Guest guest;
  auto stat = [&](uint32_t pool) {
    virtio_tmem_req request = makeRequest(VIRTIO_TMEM_OP_STAT);
    request.pool = pool;
    return guest.request(0, request);
  };
  CHECK(stat(VIRTIO_TMEM_STAT_TARGET).status == VIRTIO_TMEM_S_NO_SESSION);
  guest.reset();
  CHECK(stat(VIRTIO_TMEM_STAT_LIMIT - 1).status == VIRTIO_TMEM_S_NO_POOL);
  CHECK(guest.events.count(DeviceEvent::Type::kDriverAsks) == 0);
  CHECK(stat(VIRTIO_TMEM_STAT_LIMIT).value == 0);
  CHECK(stat(VIRTIO_TMEM_STAT_TARGET).value == VIRTIO_TMEM_NO_TARGET);
  guest.device->setLimitAndTarget(1ull << 40, 0);
  CHECK(stat(VIRTIO_TMEM_STAT_LIMIT).value == 1ull << 40);
  CHECK(stat(VIRTIO_TMEM_STAT_TARGET).value == 0);
  CHECK(stat(VIRTIO_TMEM_STAT_TARGET).status == VIRTIO_TMEM_S_OK);
  CHECK(guest.events.count(DeviceEvent::Type::kDriverAsks) == 1);

  const Outcome stopped = Guest::wait([&](auto done) { guest.device->stopVring(0, done); });
  VringSetup setup{guest.rings[0].layout(true), OwnedFd(dup(guest.kicks[0])), OwnedFd(dup(guest.calls[0]))};
  setup.layout.lastAvailableIndex = static_cast<uint16_t>(stopped.value);
  CHECK(Guest::wait([&](auto done) { guest.device->startVring(0, std::move(setup), done); }).error == "");
  CHECK(stat(VIRTIO_TMEM_STAT_LIMIT).value == 1ull << 40);
  CHECK(guest.events.count(DeviceEvent::Type::kDriverAsks) == 2);
}

TEST_CASE("a ring without a kick descriptor is looked at anyway") {
  Guest guest;
  CHECK(Guest::wait([&](auto done) { guest.device->setKickFd(0, {}, done); }).error == "");
  for (int i = 0; i < 5; ++i) CHECK(guest.reset().status == VIRTIO_TMEM_S_OK);
}

TEST_CASE("a disabled ring is not processed until it is enabled") {
  Guest guest;
  CHECK(Guest::wait([&](auto done) { guest.device->enableVring(0, false, done); }).error == "");
  *guest.ram.at<virtio_tmem_req>(Guest::kRequest) = makeRequest(VIRTIO_TMEM_OP_RESET);
  guest.rings[0].add({{Guest::kRequest, 40}, {Guest::kResponse, 16, true}});
  guest.rings[0].publish();
  guest.kick(0);
  // Two commands later the worker has been round its rings.
  for (int i = 0; i < 2; ++i)
    CHECK(Guest::wait([&](auto done) { guest.device->setCallFd(2, {}, done); }).error == "");
  CHECK(guest.rings[0].usedIndex() == 0);
  CHECK(Guest::wait([&](auto done) { guest.device->enableVring(0, true, done); }).error == "");
  CHECK(guest.waitUsed(0, ++guest.completed[0]));
}

TEST_CASE("a table may take what is allowed, and a region beside it what it leaves") {
  Guest guest;  // of 1 MiB
  const auto setups = [&](size_t count) {
    std::vector<RegionSetup> regions;
    for (size_t i = 0; i < count; ++i) regions.push_back(guest.ram.region());
    return regions;
  };
  const uint64_t most = guest.device->allowance(true).bytesMax;
  CHECK(guest.device->allowance(false).bytesTaken == 0);
  CHECK(guest.device->allowance(true).bytesTaken == 1 << 20);
  CHECK(most == 3 << 20);
  CHECK(Device::map(setups(3), guest.device->allowance(false)).size() == 3);
  CHECK_THROWS_AS(Device::map(setups(4), guest.device->allowance(false)), FrontEndError);
  CHECK(Device::map(setups(2), guest.device->allowance(true)).size() == 2);
  CHECK_THROWS_AS(Device::map(setups(3), guest.device->allowance(true)), FrontEndError);
}

TEST_CASE("the memory table is swapped while rings run") {
  Guest guest;
  guest.reset();
  const uint32_t pool = guest.createPool(true);
  for (int i = 0; i < 20; ++i) {
    std::vector<RegionSetup> regions;
    regions.push_back(guest.ram.region());
    Call swapped;
    guest.device->setMemoryTable(Device::map(std::move(regions)), swapped.done());
    CHECK(guest.request(1, makeRequest(VIRTIO_TMEM_OP_FLUSH, pool, 0)).status == VIRTIO_TMEM_S_OK);
    CHECK(swapped.wait().error == "");
  }
  // A region of its own comes and goes.
  GuestRam extra(1 << 16, 0x8000'0000);
  CHECK(Guest::wait([&](auto done) { guest.device->addMemoryRegion(std::make_shared<MappedRegion>(extra.region()), done); }).error == "");
  CHECK(guest.request(1, makeRequest(VIRTIO_TMEM_OP_PUT, pool, 0), {}).status == VIRTIO_TMEM_S_BAD_REQUEST);
  const auto remove = [&](auto done) {
    guest.device->removeMemoryRegion(0x8000'0000, 1 << 16, 0x8000'0000 + GuestRam::kUserspaceOffset, done);
  };
  CHECK(Guest::wait(remove).error == "");
  CHECK(Guest::wait(remove).error == "no such memory region to remove");

  CHECK(Guest::wait([&](auto done) { guest.device->setMemoryTable({}, done); }).error == "");
  CHECK(guest.events.wait(DeviceEvent::Type::kQueueBroken));
}

TEST_CASE("truncated guest memory is reported, and the device can still be stopped") {
  Guest guest;
  guest.reset();
  const uint32_t pool = guest.createPool(true);
  Guest other;
  other.reset();

  // The rings stay, the page's data goes.
  *guest.ram.at<virtio_tmem_req>(Guest::kRequest) = makeRequest(VIRTIO_TMEM_OP_PUT, pool, 0);
  guest.rings[1].add({{Guest::kRequest, 40}, {Guest::kData + 0x80000, 4096}, {Guest::kResponse, 16, true}});
  guest.rings[1].publish();
  REQUIRE(ftruncate(guest.ram.fd(), 0x80000) == 0);
  guest.kick(1);
  CHECK(guest.events.wait(DeviceEvent::Type::kMemoryLost));
  CHECK(guest.store->pagesHeld(guest.guest) == 0);  // no zeros were kept for it
  CHECK(guest.rings[1].usedIndex() == 0);           // and it was not said to be done
  CHECK(Guest::wait([&](auto done) { guest.device->stopVring(1, done); }).error == "");
  CHECK(other.reset().status == VIRTIO_TMEM_S_OK);
}

TEST_CASE("after close every call fails and closes what it was given") {
  Guest guest;
  Call closed;
  auto done = closed.done();
  guest.device->close([done] { done({}); });
  closed.wait();
  const int before = openDescriptors();
  CHECK(Guest::wait([&](auto call) {
          guest.device->addMemoryRegion(std::make_shared<MappedRegion>(guest.ram.region()), call);
        }).error == "the device is closed");
  CHECK(Guest::wait([&](auto call) { guest.device->setKickFd(0, OwnedFd(dup(0)), call); }).error ==
        "the device is closed");
  CHECK(openDescriptors() == before);
}

TEST_CASE("every descriptor is closed once the device is gone") {
  { Guest warmUp; }
  const int before = openDescriptors();
  {
    Guest guest;
    guest.reset();
    const auto error = [&](auto begin) { return Guest::wait(begin).error; };
    VringSetup again{guest.rings[0].layout(), OwnedFd(dup(0)), OwnedFd(dup(0))};
    CHECK(error([&](auto done) { guest.device->startVring(0, std::move(again), done); }) ==
          "queue 0 is started already");
    VringSetup beyond{guest.rings[0].layout(), OwnedFd(dup(0)), OwnedFd(dup(0))};
    CHECK(error([&](auto done) { guest.device->startVring(3, std::move(beyond), done); }) ==
          "queue 3 of a device with 3");
    CHECK(error([&](auto done) { guest.device->setCallFd(1, OwnedFd(dup(guest.calls[1])), done); }) == "");
    CHECK(error([&](auto done) { guest.device->setKickFd(1, OwnedFd(dup(guest.kicks[1])), done); }) == "");
    CHECK(error([&](auto done) { guest.device->setKickFd(1, OwnedFd(memfd_create("x", 0)), done); }) != "");
  }
  CHECK(openDescriptors() == before);
}

TEST_CASE("a ring that is kicked and stays empty is reported once a start") {
  Guest guest;
  guest.reset();
  // More than enough: three suffice, but the first may find the wake-up of the kick that was there from the start.
  for (int i = 0; i < 6; ++i) REQUIRE(guest.kickAwake(1));
  CHECK(guest.events.wait(DeviceEvent::Type::kRingSilent));
  for (int i = 0; i < 10; ++i) REQUIRE(guest.kickAwake(1));
  guest.reset();
  CHECK(guest.events.count(DeviceEvent::Type::kRingSilent) == 1);
}

TEST_CASE("a call descriptor that came blocking and full holds no ring up") {
  Guest guest;
  guest.reset();
  const int call = eventfd(0, EFD_CLOEXEC);
  REQUIRE(eventfd_write(call, ~eventfd_t{1}) == 0);
  CHECK(Guest::wait([&](auto done) { guest.device->setCallFd(1, OwnedFd(dup(call)), done); }).error == "");
  *guest.ram.at<virtio_tmem_req>(Guest::kData) = makeRequest(VIRTIO_TMEM_OP_FLUSH, 0, 0);
  guest.rings[1].add({{Guest::kData, sizeof(virtio_tmem_req)}, {Guest::kData + 64, 16, true}});
  guest.rings[1].publish();
  guest.kick(1);
  while (guest.rings[1].usedIndex() == 0) std::this_thread::yield();
  // The first completion of a ring always interrupts. The worker goes on after it.
  guest.createPool(true);
  guest.createPool(true);
  ::close(call);
}

TEST_CASE("a call descriptor that the front end made block cannot keep the device from ending") {
  Guest guest;
  const int call = eventfd(0, EFD_CLOEXEC);
  CHECK(Guest::wait([&](auto done) { guest.device->setCallFd(1, OwnedFd(dup(call)), done); }).error == "");
  REQUIRE(fcntl(call, F_SETFL, 0) == 0);
  REQUIRE(eventfd_write(call, ~eventfd_t{1}) == 0);
  // The first completion of a ring always interrupts: that write blocks.
  *guest.ram.at<virtio_tmem_req>(Guest::kRequest) = makeRequest(VIRTIO_TMEM_OP_FLUSH, 0, 0);
  guest.rings[1].add({{Guest::kRequest, sizeof(virtio_tmem_req)}, {Guest::kResponse, 16, true}});
  guest.rings[1].publish();
  guest.kick(1);
  while (guest.rings[1].usedIndex() == 0) std::this_thread::yield();
  guest.device.reset();
  CHECK(guest.rings[1].usedIndex() == 1);
  ::close(call);
}
