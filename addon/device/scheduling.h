// How a worker gets the processor, and when it gives it up.
//
// A guest's virtual CPU that spins for an answer looks busier to the scheduler
// than the worker that sleeps between requests. A worker therefore asks for
// round-robin real-time scheduling at the lowest priority, or failing that for
// a short time slice, with which it is picked sooner after it wakes.
//
// A real-time thread that always has work keeps all ordinary threads of its processor waiting, but for the
// twentieth that the kernel keeps back. So while more threads are to run than there are processors, a worker that a
// guest floods is real-time for 80 ms of processor time in each 100 ms, and an ordinary thread for 20 ms after
// that. It gives its priority up between two rounds of work, with no lock held. What it locks later it is
// lent the priority of whoever waits for it; who closes its gate meanwhile waits as for any ordinary thread.
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

// For the calling thread, which got kRoundRobin: gives that up, or asks for it again. False: refused.
bool setRealTime(bool realTime);

// Decides when a real-time worker is to be an ordinary thread for a while.
class RealTimeShare {
 public:
  static constexpr uint64_t kWindowNs = 100'000'000;
  static constexpr uint64_t kMostNs = 80'000'000;      // of processor time in a window, at real-time priority
  static constexpr uint64_t kOrdinaryNs = 20'000'000;  // then so long without

  // Whether the worker may be a real-time thread now. `processorNs`: the thread's processor time so far;
  // `crowded`: more threads are to run than there are processors.
  bool mayBeRealTime(uint64_t nowNs, uint64_t processorNs, bool crowded);

 private:
  uint64_t windowBeganNs_ = 0;
  uint64_t processorThenNs_ = 0;
  uint64_t ordinaryUntilNs_ = 0;
};

// The calling thread's share: looks at the clocks once in so many calls, and changes its priority.
class RealTimeTurns {
 public:
  explicit RealTimeTurns(bool realTime) : granted_(realTime), realTime_(realTime) {}
  // After a round of work that did not end in sleep.
  void worked() {
    if (granted_ && (++rounds_ % kRoundsBetweenLooks == 0 || !realTime_)) look();
  }
  // Before the thread sleeps: it is to be a real-time thread when it wakes, if its time without is over.
  void sleeps() {
    if (granted_ && !realTime_) look();
  }

 private:
  static constexpr uint32_t kRoundsBetweenLooks = 32;  // of microseconds each
  void look();
  void become(bool realTime);

  RealTimeShare share_;
  bool granted_;  // until it is refused
  bool realTime_;
  uint32_t rounds_ = 0;
};

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
