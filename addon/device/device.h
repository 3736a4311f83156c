// The data plane of one vhost-user session: guest memory, virtqueues and the
// worker thread that serves them.
//
// The control side prepares what a session sets up (maps memory, owns
// descriptors) and hands it over as a command; the worker adopts it between
// two rounds, in the order handed over, and then calls `done`. Thus a ring
// is never touched while it changes.
//
// Threads. Methods are called by one thread, the control side's. `done` is
// called exactly once per call, on the worker's thread, or on the caller's when
// there is nothing to hand over; `onEvent` is called on the worker's. Neither
// may block or call back into the Device.
#ifndef TMEMD_DEVICE_DEVICE_H_
#define TMEMD_DEVICE_DEVICE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "device/blk_requests.h"
#include "device/device_counters.h"
#include "device/guest_memory.h"
#include "device/owned_fd.h"
#include "device/vring.h"
#include "engine/store.h"

namespace tmemd {

struct DeviceEvent {
  enum class Type {
    kQueueBroken,        // the guest broke this queue; the others go on
    kMemoryLost,         // the front end took shared memory away; nothing is served any more
    kSessionOpened,      // the driver sent RESET, or a disk begins its life
    kDriverAsks,         // the driver asked for limit or target: it will go on asking; once a start of its ring
    kDiskLost,           // the guest goes on with a disk that is gone: its requests fail until it starts anew
    kRingSilent,         // kicked, and yet nothing appears: guest memory is probably not shared
    kSchedulingRefused,  // the worker runs with a higher latency than it asked for
  };
  Type type;
  uint16_t queueIndex = 0;  // kQueueBroken, kRingSilent
  std::string reason;       // one line; empty for kSessionOpened and kDriverAsks
};

struct DeviceOptions {
  uint32_t maxPagesPerRequest = 64;
  uint16_t queueCount = 2;  // control queue included
  // For all regions together; see MapAllowance.
  uint64_t memoryMapBytesMax = UINT64_MAX;
  // Present: a virtio-blk device, whose queues are all request queues; else virtio-tmem.
  std::optional<DiskOptions> disk;
  std::function<void(const DeviceEvent&)> onEvent;
};

struct VringSetup {
  VringLayout layout;
  OwnedFd kick;  // absent: polled
  OwnedFd call;  // absent: no interrupts
};

// An empty `error` is success; else one line on what the front end did wrong.
struct Outcome {
  std::string error;
  uint32_t value = 0;
};

class Worker;

class Device {
 public:
  using Done = std::function<void(const Outcome&)>;

  static constexpr uint16_t kMaxQueues = 256;

  // Throws std::system_error when the thread or its descriptors cannot be had.
  Device(std::shared_ptr<Store> store, GuestId guest, DeviceOptions options);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  // What a table may map, or a region beside the table that there is. A table and the one that it
  // replaces are mapped at the same time, each within the allowance.
  MapAllowance allowance(bool besideTable) const;
  // Maps regions; may wait for whoever serves their files, and is the only part that any thread may call.
  // Throws FrontEndError, also for more than is allowed. The descriptors are closed either way.
  static GuestMemory::Regions map(std::vector<RegionSetup> setups, MapAllowance allowance = {});

  // Regions that were mapped become the worker's to drop, whatever the outcome.
  void setMemoryTable(GuestMemory::Regions regions, Done done);
  void addMemoryRegion(std::shared_ptr<const MappedRegion> region, Done done);
  void removeMemoryRegion(uint64_t guestAddress, uint64_t sizeBytes, uint64_t userspaceAddress, Done done);

  void startVring(uint16_t queue, VringSetup setup, Done done);
  void enableVring(uint16_t queue, bool enabled, Done done);
  void setKickFd(uint16_t queue, OwnedFd fd, Done done);
  void setCallFd(uint16_t queue, OwnedFd fd, Done done);
  // The outcome's value is the next available index.
  void stopVring(uint16_t queue, Done done);

  // Asks the worker to end: it publishes what it completed, unmaps, closes
  // every descriptor and then calls `done`. Later calls of other methods fail.
  void close(std::function<void()> done);

  // What STAT answers from now on, in pages, as config space has them. Any thread may call this.
  void setLimitAndTarget(uint64_t limitPages, uint64_t targetPages);

  const DeviceCounters& counters() const;

 private:
  void adopt(GuestMemory::Regions regions, Done done);
  bool checkQueue(uint16_t queue, const Done& done) const;

  const uint16_t queueCount_;
  const uint64_t memoryMapBytesMax_;
  GuestMemory::Regions regions_;  // the table as last handed over
  std::unique_ptr<Worker> worker_;
};

}  // namespace tmemd

#endif  // TMEMD_DEVICE_DEVICE_H_
