// What locks and gates do when they are contended: see sync.h.
#include "engine/sync.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

namespace tmemd {

namespace {

// Threads of this process alone. 0, or what went wrong.
int futex(std::atomic<uint32_t>& word, int operation, uint32_t value) {
  static_assert(sizeof(word) == sizeof(uint32_t));
  return syscall(SYS_futex, &word, operation | FUTEX_PRIVATE_FLAG, value, nullptr, nullptr, 0) < 0 ? errno : 0;
}

// 0 when the kernel does it: a lock that nobody holds is taken by the call itself.
int inheritanceError() {
  static const int error = [] {
    std::atomic<uint32_t> word{0};
    int wrong = futex(word, FUTEX_LOCK_PI, 0);
    return wrong ? wrong : futex(word, FUTEX_UNLOCK_PI, 0);
  }();
  return error;
}

}  // namespace

constinit thread_local uint32_t cachedThreadId = 0;

uint32_t readThreadId() {
  static const int forgotten = pthread_atfork(nullptr, nullptr, [] { cachedThreadId = 0; });
  if (forgotten != 0) std::abort();
  return cachedThreadId = static_cast<uint32_t>(syscall(SYS_gettid));
}

bool kernelInheritsPriority(int* error) {
  *error = inheritanceError();
  return *error == 0;
}

void Backoff::nap() {
  timespec duration = {0, kNapUs * 1000};
  nanosleep(&duration, nullptr);
}

void SpinLock::lockContended() {
  for (int round = 0; round < kSpinRounds; round++) {
    if (word_.load(std::memory_order_relaxed) == 0 && try_lock()) return;
    cpuRelax();
  }
  if (inheritanceError()) {
    while (!try_lock()) Backoff::nap();
    return;
  }
  for (;;) {
    switch (futex(word_, FUTEX_LOCK_PI, 0)) {
      case 0:
        // acquire: the kernel handed it over, which the sanitizer does not see.
        (void)word_.load(std::memory_order_acquire);
        return;
      case EDEADLK:  // held already, by this thread
      case EFAULT:
      case EINVAL:
        std::abort();
      default:  // the holder is about to end, or memory is short: neither lasts
        Backoff::nap();
    }
  }
}

// Somebody sleeps, or the caller does not hold it.
void SpinLock::unlockContended() {
  // release, of a bit that is set: for the sanitizer, see above.
  word_.fetch_or(FUTEX_WAITERS, std::memory_order_release);
  if (futex(word_, FUTEX_UNLOCK_PI, 0) != 0) std::abort();
}

void Gate::enterClosed() {
  leave();
  // Whoever closes the gate holds this until it is open again, so it is open now.
  SpinGuard guard(control_);
  state_.fetch_add(1, std::memory_order_acquire);
}

// Never with the background lock held: who closes the gate may be waiting for that.
void Gate::enterInBackground() {
  for (;;) {
    background_.lock();
    if (tryEnter()) return;
    background_.unlock();
    SpinGuard opened(control_);
  }
}

void Gate::close() {
  control_.lock();
  schedulingPoint();
  state_.fetch_or(kClosed, std::memory_order_relaxed);
  for (int round = 0; round < kSpinRounds; round++) {
    if (state_.load(std::memory_order_acquire) == kClosed) return;
    cpuRelax();
  }
  passBackground();
  for (;;) {
    uint32_t seen = state_.load(std::memory_order_acquire);
    if (seen == kClosed) return;
    futex(state_, FUTEX_WAIT, seen);  // until the last leaves, or someone came or went meanwhile
  }
}

void Gate::wakeCloser() { futex(state_, FUTEX_WAKE, 1); }

}  // namespace tmemd
