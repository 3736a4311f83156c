// How a worker gets the processor, and when it gives it up.
//
// A guest's virtual CPU that spins for an answer looks busier to the scheduler
// than the worker that sleeps between requests. A worker therefore asks for
// round-robin real-time scheduling at the lowest priority, or failing that for
// a short time slice, with which it is picked sooner after it wakes.
//
// Polling helps only while a processor is free for it: a worker that polls
// where the guest needs the processor to send its next request delays it.
#ifndef TMEMD_DEVICE_SCHEDULING_H_
#define TMEMD_DEVICE_SCHEDULING_H_

#include <cstdint>
#include <string>

namespace tmemd {

enum class LatencyClass { kRoundRobin, kShortSlice, kDefault };

// For the calling thread. When the result is not kRoundRobin, `refusal` says why.
LatencyClass requestLowLatency(std::string& refusal);

// Decides how long a worker that ran out of work polls before it sleeps.
class PollWindow {
 public:
  static constexpr uint64_t kMaxNs = 50'000;

  // Work was found while polling, or so soon after going to sleep that polling would have found it.
  void foundSoon() { windowNs_ = kMaxNs; }
  // A whole window passed for nothing.
  void passed() { windowNs_ /= 2; }

  // 0 when nothing must be polled for now.
  uint64_t lengthNs(uint64_t now);

 private:
  uint64_t windowNs_ = kMaxNs;
};

// While it exists, the worker that owns it counts as awake in this process.
class AwakeWorker {
 public:
  AwakeWorker();
  ~AwakeWorker();
  AwakeWorker(const AwakeWorker&) = delete;
  AwakeWorker& operator=(const AwakeWorker&) = delete;
};

}  // namespace tmemd

#endif  // TMEMD_DEVICE_SCHEDULING_H_
