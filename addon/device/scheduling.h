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

#include <atomic>
#include <cstdint>
#include <string>

namespace tmemd {

enum class LatencyClass { kRoundRobin, kShortSlice, kDefault };

// For the calling thread. When the result is not kRoundRobin, `refusal` says why.
LatencyClass requestLowLatency(std::string& refusal);

// Whether there is a processor for everyone, from how many threads run or wait for one. That takes some
// microseconds to read, so all workers share a reading. One that finds too many may have met a thread that is
// gone a moment later, so it is sooner taken again.
class FreeProcessors {
 public:
  static constexpr uint64_t kEnoughValidNs = 2'000'000;
  static constexpr uint64_t kTooManyValidNs = 200'000;

  // `readRunnable` tells how many threads of the machine run or wait for a processor.
  FreeProcessors(int processors, int (*readRunnable)()) : processors_(processors), readRunnable_(readRunnable) {}

  // `waiting` of the threads may be left to wait.
  bool enough(uint64_t nowNs, int waiting);

 private:
  const int processors_;
  int (*const readRunnable_)();
  // Relaxed, all of them: a stale or repeated reading does no harm.
  std::atomic<uint64_t> dueNs_{0};
  std::atomic<int> runnable_{0};
};

// Decides how long a worker that ran out of work polls before it sleeps.
class PollWindow {
 public:
  static constexpr uint64_t kMaxNs = 50'000;

  // Work was found while polling, or so soon after going to sleep that polling would have found it.
  void foundSoon() { windowNs_ = kMaxNs; }
  // A whole window passed for nothing.
  void passed() { windowNs_ /= 2; }

  // 0 when nothing must be polled for now. `waiting` as above.
  uint64_t lengthNs(uint64_t nowNs, int waiting);

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
