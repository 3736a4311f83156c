// The C library's ways to wait, for fibers: a fiber that slept would hold all of them up. Defined here they
// come before the library's own. What is no fiber goes on as ever.
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdarg>
#include <cstdint>

#include "engine/interleave.h"
#include "interleave/scheduler.h"

namespace interleave {
uint64_t randomState = 0;
}  // namespace interleave

namespace {

using interleave::inFiber;
using interleave::waitForOthers;

long rawSyscall(long number, long a, long b, long c, long d, long e, long f) {
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  register long r9 asm("r9") = f;
  long result;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  return result;
}

// All fibers are one thread to the kernel, so it is not asked: a wait may end early, and a lock that
// lends priority is taken by whoever finds it free.
long fiberFutex(uint32_t* word, int operation, uint32_t value) {
  std::atomic_ref<uint32_t> at(*word);
  switch (operation & FUTEX_CMD_MASK) {
    case FUTEX_WAIT:
    case FUTEX_WAIT_BITSET:
      if (at.load() != value) {
        errno = EAGAIN;
        return -1;
      }
      waitForOthers();
      return 0;
    case FUTEX_LOCK_PI:
    case FUTEX_LOCK_PI2: {
      uint32_t mine = static_cast<uint32_t>(rawSyscall(SYS_gettid, 0, 0, 0, 0, 0, 0));
      uint32_t nobody = 0;
      while (!at.compare_exchange_strong(nobody, mine)) {
        nobody = 0;
        waitForOthers();
      }
      return 0;
    }
    case FUTEX_UNLOCK_PI:
      at.store(0);
      return 0;
    default:
      return 0;
  }
}

}  // namespace

extern "C" {

int pthread_mutex_lock(pthread_mutex_t* mutex) {
  if (inFiber()) tmemd::schedulingPoint();
  while (int error = pthread_mutex_trylock(mutex)) {
    if (error != EBUSY) return error;
    if (inFiber()) {
      waitForOthers();
    } else {
      rawSyscall(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
    }
  }
  return 0;
}

int nanosleep(const timespec* length, timespec* left) {
  if (!inFiber()) return static_cast<int>(rawSyscall(SYS_nanosleep, (long)length, (long)left, 0, 0, 0, 0));
  waitForOthers();
  return 0;
}

int clock_nanosleep(clockid_t clock, int flags, const timespec* length, timespec* left) {
  if (!inFiber()) return static_cast<int>(-rawSyscall(SYS_clock_nanosleep, clock, flags, (long)length, (long)left, 0, 0));
  waitForOthers();
  return 0;
}

int sched_yield() {
  if (!inFiber()) return static_cast<int>(rawSyscall(SYS_sched_yield, 0, 0, 0, 0, 0, 0));
  waitForOthers();
  return 0;
}

long syscall(long number, ...) {
  va_list list;
  va_start(list, number);
  long a[6];
  for (long& one : a) one = va_arg(list, long);
  va_end(list);
  if (number == SYS_futex && inFiber()) {
    return fiberFutex(reinterpret_cast<uint32_t*>(a[0]), static_cast<int>(a[1]), static_cast<uint32_t>(a[2]));
  }
  long result = rawSyscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
  if (result >= 0 || result < -4095) return result;
  errno = static_cast<int>(-result);
  return -1;
}

ssize_t getrandom(void* buffer, size_t bytes, unsigned) {
  uint64_t& state = interleave::randomState;
  for (size_t i = 0; i < bytes; i++) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    static_cast<uint8_t*>(buffer)[i] = static_cast<uint8_t>(state >> 56);
  }
  return static_cast<ssize_t>(bytes);
}

}  // extern "C"
