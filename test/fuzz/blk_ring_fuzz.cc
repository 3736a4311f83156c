// Rings and requests of a virtio-blk device, as a hostile driver may have written them: two rings
// are served as the worker serves them.
//
// flags: bit 0 EVENT_IDX, bit 1 the disk is in its second life, bit 2 the second ring comes first.
#include "device/blk_requests.h"
#include "fuzz/guest_scene.h"

using namespace tmemd;
using namespace tmemd::fuzz;

namespace {

constexpr uint64_t kDiskPages = 2048;  // beyond an object's 1024

GuestOptions attacker() {
  GuestOptions options = guestNamed("attacker");
  options.maxPools = 1;
  return options;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t sizeBytes) {
  static GuestScene scene(attacker());
  static WorkerContext context;
  if (!scene.lay(data, sizeBytes)) return 0;
  scene.store->dropPools(scene.guest);
  if (scene.flags & 2) scene.store->reset(scene.guest);

  DeviceCounters counters;
  std::array<Queue, 2> queues;
  std::array<bool, 2> runs{};
  auto fresh = [&] { return queues[0].beganAtZero && queues[1].beganAtZero; };
  BlkRequests requests(*scene.store, scene.guest, context, {kDiskPages, "attacker"}, counters, {fresh, [] {}, [] {}});
  for (uint16_t i = 0; i < 2; i++) runs[i] = scene.start(queues[i], i);
  const int first = scene.flags & 4 ? 1 : 0;
  for (int i : {first, 1 - first}) {
    if (runs[static_cast<size_t>(i)]) requests.run(queues[static_cast<size_t>(i)], scene.memory, GuestScene::kRingSize);
  }
  scene.check();
  return 0;
}
