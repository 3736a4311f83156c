// Runs the requests of the control queue, one at a time: RESET, POOL_CREATE,
// POOL_DESTROY, STAT, ATTACH.
#ifndef TMEMD_DEVICE_CONTROL_REQUESTS_H_
#define TMEMD_DEVICE_CONTROL_REQUESTS_H_

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
  };

  ControlRequests(Store& store, GuestId guest, PageRequests& pageRequests, DeviceCounters& counters,
                  Hooks hooks);

  // Runs at most `maxChains` chains that are known to be available.
  PageRequests::Result run(Queue& queue, const GuestMemory& memory, uint32_t maxChains);

 private:
  bool execute(const Request& request, Response& response);

  Store& store_;
  const GuestId guest_;
  PageRequests& pageRequests_;
  DeviceCounters& counters_;
  const Hooks hooks_;
  Chain chain_;
};

}  // namespace tmemd

#endif  // TMEMD_DEVICE_CONTROL_REQUESTS_H_
