#include "engine/background_clock.h"

#include <poll.h>
#include <time.h>

namespace tmemd {

namespace {

class MachineClock final : public BackgroundClock {
 public:
  Time now() const override { return std::chrono::steady_clock::now().time_since_epoch(); }

  Time threadTime() const override {
    timespec had;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &had);
    return std::chrono::seconds(had.tv_sec) + std::chrono::nanoseconds(had.tv_nsec);
  }

  bool waitUntil(Time then, int fd) override {
    pollfd ready = {fd, POLLIN, 0};
    for (;;) {
      auto left = std::chrono::ceil<std::chrono::milliseconds>(then - now());
      if (left.count() <= 0) return false;
      int count = poll(&ready, 1, static_cast<int>(left.count()));
      if (count >= 0) return count > 0;  // else a signal came
    }
  }
};

}  // namespace

BackgroundClock& BackgroundClock::ofMachine() {
  static MachineClock clock;
  return clock;
}

}  // namespace tmemd
