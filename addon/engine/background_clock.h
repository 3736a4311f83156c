// The time the background thread lives by: when its rounds are, how much of a processor it
// had, and how it waits. The machine's, unless a store is given another: one that runs
// fast shows within seconds what the thread does in an hour.
#ifndef TMEMD_ENGINE_BACKGROUND_CLOCK_H_
#define TMEMD_ENGINE_BACKGROUND_CLOCK_H_

#include <chrono>

namespace tmemd {

class BackgroundClock {
 public:
  using Time = std::chrono::nanoseconds;  // since a moment that stays the same
  virtual ~BackgroundClock() = default;

  // May be asked by any thread.
  virtual Time now() const = 0;
  // The processor time that the calling thread has had. While it waits for a processor, or
  // another has taken it away, this stands still.
  virtual Time threadTime() const = 0;
  // Waits until `then`, or until `fd` can be read, which is told by true.
  virtual bool waitUntil(Time then, int fd) = 0;

  static BackgroundClock& ofMachine();
};

}  // namespace tmemd

#endif  // TMEMD_ENGINE_BACKGROUND_CLOCK_H_
