// Guest memory that never answers: whoever gave it is held up, and nobody else.
#include <doctest/doctest.h>

#include <chrono>
#include <future>
#include <optional>
#include <thread>

#include "device/page_requests.h"
#include "native/guest_fixture.h"
#include "native/silent_file_system.h"
#include "native/store_fixture.h"

using namespace tmemd;
using namespace tmemd::test;

namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kSilent = 0x2000'0000;
constexpr std::chrono::seconds kPatience{60};

}  // namespace

TEST_CASE("a get into memory that never answers leaves its guest's gate open" *
          doctest::skip(!SilentFileSystem::isPossible())) {
  std::optional<SilentFileSystem> silent(std::in_place, 2 * kPage);
  GuestRam ram(16 * kPage);
  RegionSetup region{kSilent, 2 * kPage, kSilent, 0, OwnedFd(silent->openFile())};
  REQUIRE(region.fd.get() >= 0);
  const GuestMemory memory(
      {std::make_shared<MappedRegion>(ram.region()), std::make_shared<MappedRegion>(std::move(region))});

  Store store(storeOf(64 << 20));
  const GuestId guest = store.addGuest(guestNamed("guest"));
  REQUIRE(store.reset(guest) != 0);
  PoolId pool;
  REQUIRE(store.createPool(guest, true, &pool) == Status::kOk);
  WorkerContext context;
  std::memcpy(context.page(), textPage(1).data(), kPage);
  REQUIRE(store.put(context, guest, keyOf(pool, 0, 0)) == Status::kOk);

  DriverRing ring(ram, ram.guestAddress, 16);
  const uint64_t request = ram.guestAddress + 8 * kPage;
  *ram.at<virtio_tmem_req>(request) = {VIRTIO_TMEM_OP_GET, 0, pool, {0, 0, 0}, 0, 1};
  ring.add({{request, sizeof(virtio_tmem_req)},
            {request + kPage, sizeof(virtio_tmem_resp), true},
            {kSilent, kPage, true}});
  ring.publish();
  DeviceCounters counters;
  PageRequests pages(store, guest, context, 1, counters);
  pages.openSession();
  Queue queue;
  REQUIRE(queue.vring.start(ring.layout(), memory) == "");
  queue.started = queue.enabled = true;
  queue.vring.loadAvailableIndex();

  std::optional<PageRequests::Result> result;
  std::thread worker([&] { result = pages.run(queue, memory, 16); });
  silent->awaitRead();
  // Both wait for every gate.
  std::future<std::string> checked = std::async(std::launch::async, [&] {
    store.reset(guest);
    return store.checkInvariants();
  });
  CHECK(checked.wait_for(kPatience) == std::future_status::ready);
  silent->end();
  worker.join();
  CHECK(checked.get() == "");
  CHECK(result == PageRequests::Result::kMemoryLost);
}
