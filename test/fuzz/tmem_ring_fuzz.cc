// Rings and requests of a virtio-tmem device, as a hostile driver may have written them: a control
// ring and a page ring are served as the worker serves them.
//
// flags: bit 0 EVENT_IDX, bit 1 a session and two pools are there, bit 2 the page ring comes first.
#include "device/control_requests.h"
#include "device/page_requests.h"
#include "fuzz/guest_scene.h"

using namespace tmemd;
using namespace tmemd::fuzz;

namespace {

constexpr uint32_t kMaxPagesPerRequest = 8;

GuestOptions attacker() {
  GuestOptions options = guestNamed("attacker");
  options.persistentReservePages = 8;
  options.maxPools = 4;
  return options;
}

// A session with a pool of each kind, of which an input may as well make its own.
void openSession(GuestScene& scene, PageRequests& pages) {
  PoolId pool;
  scene.store->reset(scene.guest);
  scene.store->createPool(scene.guest, true, &pool);
  scene.store->createPool(scene.guest, false, &pool);
  pages.openSession();
}

void serve(GuestScene& scene) {
  static WorkerContext context;
  DeviceCounters counters;
  PageRequests pages(*scene.store, scene.guest, context, kMaxPagesPerRequest, counters);
  if (scene.flags & 2) openSession(scene, pages);
  std::array<Queue, 2> queues;
  std::array<bool, 2> runs{};
  auto drainPages = [&] {
    return !runs[1] || pages.run(queues[1], scene.memory, queues[1].vring.knownAvailable()) == PageRequests::Result::kDone;
  };
  ControlRequests control(*scene.store, scene.guest, pages, counters, {drainPages, [] {}, [] {}});
  for (uint16_t i = 0; i < 2; i++) runs[i] = scene.start(queues[i], i);
  if (scene.flags & 4) drainPages();
  if (runs[0]) control.run(queues[0], scene.memory, GuestScene::kRingSize);
  drainPages();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t sizeBytes) {
  static GuestScene scene(attacker());
  if (!scene.lay(data, sizeBytes)) return 0;
  scene.store->dropPools(scene.guest);
  serve(scene);
  scene.check();
  return 0;
}
