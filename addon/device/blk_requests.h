// Runs the requests of a virtio-blk device's queues: IN, OUT, FLUSH, GET_ID,
// DISCARD, WRITE_ZEROES.
//
// FLUSH answers at once: what was written is in the store by the time it
// completes, and goes nowhere else.
//
// A disk's *life* is the store's session of the guest. It is settled before
// the first request after a ring was started:
//
//   the store knows the disk                     it goes on as it was
//   it does not, and every ring begins at 0      a new life, all zeros: the driver has just begun
//   it does not, and some ring is in midstream   lost: the guest used a disk that is gone (the service was
//                                                replaced, or this is another host), and zeros for what it
//                                                wrote would be made up; everything fails until it starts anew
//
// Requests take effect in ring order. Completions are published when a run
// ends, and within it whenever a good many bytes are done.
#ifndef TMEMD_DEVICE_BLK_REQUESTS_H_
#define TMEMD_DEVICE_BLK_REQUESTS_H_

#include <cstdint>
#include <functional>
#include <string>

#include "device/blk_request.h"
#include "device/device_counters.h"
#include "device/disk.h"
#include "device/page_requests.h"
#include "device/queue.h"
#include "engine/store.h"

namespace tmemd {

struct DiskOptions {
  uint64_t pageCount = 0;
  std::string serial;  // what GET_ID answers; its first VIRTIO_BLK_ID_BYTES
};

class BlkRequests {
 public:
  struct Hooks {
    // No started ring began anywhere but at 0.
    std::function<bool()> everyRingBeganAtZero;
    std::function<void()> lifeBegun;
    std::function<void()> lifeLost;
  };

  BlkRequests(Store& store, GuestId guest, WorkerContext& context, DiskOptions options,
              DeviceCounters& counters, Hooks hooks);

  void ringStarted() { lifeSettled_ = false; }

  // Runs chains that are known to be available, at most `maxChains` and about kRunBytes of them.
  PageRequests::Result run(Queue& queue, const GuestMemory& memory, uint32_t maxChains);

 private:
  // So that commands and other rings are not kept waiting.
  static constexpr uint64_t kRunBytes = 4 << 20;
  static constexpr uint64_t kUnpublishedBytes = 64 << 10;
  // Letting pages go takes that much less than writing them.
  static constexpr uint64_t kDiscardsPerWrite = 64;

  void settleLife();
  Disk::Result execute(const GuestMemory& memory, BlkStatus& status);
  void writeId();

  const DiskOptions options_;
  DeviceCounters& counters_;
  const Hooks hooks_;
  Disk disk_;
  bool lifeSettled_ = false;
  bool alive_ = false;

  Chain chain_;
  BlkRequest request_;
};

}  // namespace tmemd

#endif  // TMEMD_DEVICE_BLK_REQUESTS_H_
