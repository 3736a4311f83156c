// One virtqueue of a device, with its eventfds. The worker owns it.
#ifndef TMEMD_DEVICE_QUEUE_H_
#define TMEMD_DEVICE_QUEUE_H_

#include <sys/eventfd.h>

#include <cerrno>
#include <cstdint>

#include "device/device_counters.h"
#include "device/owned_fd.h"
#include "device/vring.h"

namespace tmemd {

struct Queue {
  static constexpr uint32_t kSilentKicks = 3;

  uint16_t index = 0;
  Vring vring;
  OwnedFd kick;  // absent: the ring is looked at every millisecond
  OwnedFd call;  // absent: no interrupts
  bool started = false;
  bool beganAtZero = true;  // when it was started; else the driver had used it before
  bool enabled = false;
  bool broken = false;  // the guest broke it; until it is started anew
  // Kicks since the start while no chain was ever seen. More than what a front
  // end sends by itself at a start means that we do not see the guest's memory.
  uint32_t silentKicks = 0;
  bool everAvailable = false;

  bool runs() const { return started && enabled && !broken; }

  // Makes completed chains visible and interrupts the guest if it wants that.
  void publish(DeviceCounters& counters) {
    if (!vring.publish() || !call) return;
    // Does not block, as set when adopted; a counter at its maximum is a pending interrupt already. A front
    // end that made it block after all is interrupted by Worker::stop and gets no more of them.
    if (eventfd_write(call.get(), 1) != 0 && errno == EINTR) call.close();
    counters.interruptsTotal.add(1);
  }
};

}  // namespace tmemd

#endif  // TMEMD_DEVICE_QUEUE_H_
