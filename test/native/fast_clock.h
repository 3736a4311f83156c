// A clock for the background thread that lets it live through hours in seconds: its waits
// take no time, the clock only says that they did. What it does between them is what a service does, in
// the same thread and at the same priority, and the processor time it takes for that is real.
//
// pass() lets it live for a while and returns when it has: nothing happens at other times, but for
// frames that puts ask for. runFreely() lets it go on by itself, as fast as it can, and
// with a least wait of a second even faster: pages are cold after some hundred of its slices.
#ifndef TMEMD_TEST_NATIVE_FAST_CLOCK_H_
#define TMEMD_TEST_NATIVE_FAST_CLOCK_H_

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <condition_variable>
#include <functional>
#include <mutex>
#include <utility>

#include "engine/background_clock.h"

namespace tmemd {

class FastClock final : public BackgroundClock {
 public:
  FastClock() : goFd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  ~FastClock() override { close(goFd_); }

  Time now() const override {
    std::lock_guard<std::mutex> guard(mutex_);
    return now_;
  }
  Time threadTime() const override {
    std::lock_guard<std::mutex> guard(mutex_);
    lookedAt_++;
    return ofMachine().threadTime() + lookedAt_ * lookCosts_;
  }
  bool waitUntil(Time then, int fd) override;

  // Lets the thread live for so long.
  void pass(Time duration);
  void runFreely(Time leastWait = Time(0)) {
    std::lock_guard<std::mutex> guard(mutex_);
    leastWait_ = leastWait;
    limit_ = Time::max();
    eventfd_write(goFd_, 1);
  }
  // Called in the thread, which holds nothing then, whenever it waits; null: nothing.
  void setOnWait(std::function<void()> call) {
    std::lock_guard<std::mutex> guard(mutex_);
    onWait_ = std::move(call);
  }
  // Makes the processor slow: each look at the thread's time costs so much of it.
  void setLookCosts(Time each) {
    std::lock_guard<std::mutex> guard(mutex_);
    lookCosts_ = each;
  }
  // Others want the processor: after each wait the thread gets it so much later.
  void setLateBy(Time late) {
    std::lock_guard<std::mutex> guard(mutex_);
    lateBy_ = late;
  }
  // Processor time the thread had until its last wait.
  Time used() const {
    std::lock_guard<std::mutex> guard(mutex_);
    return used_;
  }

 private:
  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable waits_;
  Time now_{0};
  Time limit_{0};
  Time leastWait_{0};
  Time used_{0};
  Time lookCosts_{0};
  Time lateBy_{0};
  mutable int64_t lookedAt_ = 0;
  bool waiting_ = false;  // until it may live longer
  std::function<void()> onWait_;
  const int goFd_;
};

inline bool FastClock::waitUntil(Time then, int fd) {
  std::function<void()> onWait;
  {
    std::lock_guard<std::mutex> guard(mutex_);
    used_ = ofMachine().threadTime();
    onWait = onWait_;
  }
  if (onWait) onWait();
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    pollfd ready[2] = {{fd, POLLIN, 0}, {goFd_, POLLIN, 0}};
    if (poll(ready, 1, 0) > 0) return true;
    if (then <= limit_) {
      now_ = std::max(now_ + leastWait_, then + lateBy_);
      return false;
    }
    now_ = std::max(now_, limit_);
    waiting_ = true;
    waits_.notify_all();
    lock.unlock();
    poll(ready, 2, -1);
    lock.lock();
    waiting_ = false;
    eventfd_t ignored;
    eventfd_read(goFd_, &ignored);
  }
}

inline void FastClock::pass(Time duration) {
  std::unique_lock<std::mutex> lock(mutex_);
  waits_.wait(lock, [this] { return waiting_; });
  limit_ += duration;
  eventfd_write(goFd_, 1);
  waits_.wait(lock, [this] { return waiting_ && now_ >= limit_; });
}

}  // namespace tmemd

#endif  // TMEMD_TEST_NATIVE_FAST_CLOCK_H_
