// Runs the requests of the control queue, one at a time: RESET, POOL_CREATE,
// POOL_DESTROY, STAT, ATTACH.
#ifndef TMEMD_DEVICE_CONTROL_REQUESTS_H_
#define TMEMD_DEVICE_CONTROL_REQUESTS_H_

#include <linux/virtio_tmem.h>

#include <atomic>
#include <functional>

#include "device/device_counters.h"
#include "device/page_requests.h"
#include "device/queue.h"
#include "device/request.h"
#include "engine/store.h"

namespace tmemd {

class ControlRequests {
 public:
  struct Hooks {
    // Runs every page request accepted so far; false when guest memory is lost.
    std::function<bool()> drainPageQueues;
    // The driver sent RESET.
    std::function<void()> sessionOpened;
    // The driver asked for limit or target, for the first time since its ring was started.
    std::function<void()> driverAsks;
  };

  ControlRequests(Store& store, GuestId guest, PageRequests& pageRequests, DeviceCounters& counters,
                  Hooks hooks);

  // Runs at most `maxChains` chains that are known to be available.
  PageRequests::Result run(Queue& queue, const GuestMemory& memory, uint32_t maxChains);

  // The control queue was started: by another driver, perhaps.
  void ringStarted() { driverAsked_ = false; }

  // From any thread. Relaxed: two numbers that say nothing about each other or about anything else.
  void setLimitAndTarget(uint64_t limitPages, uint64_t targetPages) {
    limitPages_.store(limitPages, std::memory_order_relaxed);
    targetPages_.store(targetPages, std::memory_order_relaxed);
  }

 private:
  void stat(uint32_t pool, Response& response);
  bool execute(const Request& request, Response& response);

  Store& store_;
  const GuestId guest_;
  PageRequests& pageRequests_;
  DeviceCounters& counters_;
  const Hooks hooks_;
  std::atomic<uint64_t> limitPages_{0};
  std::atomic<uint64_t> targetPages_{VIRTIO_TMEM_NO_TARGET};
  bool driverAsked_ = false;
  Chain chain_;
};

}  // namespace tmemd

#endif  // TMEMD_DEVICE_CONTROL_REQUESTS_H_
