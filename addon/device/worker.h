// The thread that serves one device: takes chains off all its rings in turn,
// polls a little when it runs out of work, then sleeps on the eventfds.
//
//   round: adopt commands -> each ring up to kChainsPerRound -> again
//   no work for a poll window: ask the drivers for kicks, look once more, sleep
//
// Everything but the mailbox belongs to the thread. The mailbox has the only
// lock of the data plane; it is held for a swap of two vectors, and nothing
// else is acquired while it is held.
#ifndef TMEMD_DEVICE_WORKER_H_
#define TMEMD_DEVICE_WORKER_H_

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <semaphore>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "device/blk_requests.h"
#include "device/control_requests.h"
#include "device/device.h"
#include "device/page_requests.h"
#include "device/queue.h"
#include "device/scheduling.h"

namespace tmemd {

class Worker {
 public:
  Worker(std::shared_ptr<Store> store, GuestId guest, DeviceOptions options);
  ~Worker();  // joins

  struct Command {
    std::function<Outcome(Worker&)> apply;
    std::function<void(const Outcome&)> done;
  };
  // From the control side's thread.
  void post(Command command);
  // The thread ends after the commands posted before this, then calls `ended`
  // once as its last act. Commands posted later are answered with an error.
  void stop(std::function<void()> ended);

  const DeviceCounters& counters() const { return counters_; }

  // From any thread.
  void setLimitAndTarget(uint64_t limitPages, uint64_t targetPages) {
    controlRequests_.setLimitAndTarget(limitPages, targetPages);
  }

  // What commands do; on the worker's thread.
  Outcome adoptMemory(std::shared_ptr<const GuestMemory> memory);
  Outcome startVring(uint16_t index, VringSetup setup);
  Outcome enableVring(uint16_t index, bool enabled);
  Outcome setKick(uint16_t index, OwnedFd fd);
  Outcome setCall(uint16_t index, OwnedFd fd);
  Outcome stopVring(uint16_t index);

 private:
  // So that a full ring cannot keep the others waiting.
  static constexpr uint32_t kChainsPerRound = 64;

  std::unique_ptr<BlkRequests> makeBlkRequests(GuestId guest, DiskOptions disk);
  void run();
  void interrupt();
  bool runCommands();
  bool serveRings();
  bool serve(Queue& queue, uint32_t maxChains);
  std::span<Queue> queuesInUse() { return {queues_.data(), queuesInUse_}; }
  bool refresh(Queue& queue);
  bool drainPageQueues();
  bool allowKicks();
  void suppressKicks();
  void sleep();
  void noteKick(Queue& queue);
  void breakQueue(Queue& queue, std::string reason);
  void loseMemory();
  void emit(DeviceEvent::Type type, uint16_t queueIndex, std::string reason);
  std::string watch(const OwnedFd& fd, uint64_t token);
  void unwatch(const OwnedFd& fd);

  // Constant.
  const std::shared_ptr<Store> store_;
  const std::function<void(const DeviceEvent&)> onEvent_;
  OwnedFd epoll_;
  OwnedFd wake_;  // eventfd: the mailbox has something

  // Self-synchronised.
  DeviceCounters counters_;
  std::atomic<bool> mailboxFull_{false};

  // Guarded by mailboxLock_.
  std::mutex mailboxLock_;
  std::vector<Command> mailbox_;
  bool stopAsked_ = false;
  std::function<void()> ended_;

  // The thread's own.
  WorkerContext context_;
  PageRequests pageRequests_;
  ControlRequests controlRequests_;
  std::unique_ptr<BlkRequests> blkRequests_;  // absent: a virtio-tmem device
  std::shared_ptr<const GuestMemory> memory_;
  std::vector<Queue> queues_;
  uint16_t queuesInUse_ = 0;  // the first so many: those after them were never started
  bool memoryLost_ = false;
  PollWindow pollWindow_;

  std::binary_semaphore left_{0};  // run() has returned
  std::thread thread_;
};

}  // namespace tmemd

#endif  // TMEMD_DEVICE_WORKER_H_
