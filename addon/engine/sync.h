// The two synchronisation primitives of the page path.
//
// Lock order, outermost first (store_impl.h names who takes which):
//   guest gate  >  map shard  >  bin, cell slab  >  holder of an exclusive span  >  span table
// Index partitions are leaves: nothing is taken while one is held. Pins on spans
// stand outside this order: a span is only ever *tried* exclusively, and who has it
// so waits for nothing but the span table, so a pin may be held or asked for under any lock.
//
// Priorities. Workers run at real-time priority, the settler at the lowest there is, and both
// take the same locks: a worker that spun, or yielded, for a lock whose holder was scheduled out
// would keep that holder off the processor. So nobody spins for longer than a few microseconds;
// then it sleeps, and lends the holder its priority until the lock is let go (FUTEX_LOCK_PI). A
// gate has many holders, to whom no one can lend; it is entered by real-time workers, and by
// others only while they hold its *background* lock, through which a closer lends.
// Where the kernel has no priority inheritance a waiter sleeps for kNapUs at a time instead.
#ifndef TMEMD_ENGINE_SYNC_H_
#define TMEMD_ENGINE_SYNC_H_

#include <atomic>
#include <cstdint>
#include <mutex>

#include "engine/interleave.h"

namespace tmemd {

inline void cpuRelax() {
  waitPoint();
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Spins briefly, then sleeps: whoever is waited for may have been scheduled out, by the waiter itself.
class Backoff {
 public:
  void wait() {
    if (++rounds_ < kSpinRounds) {
      cpuRelax();
    } else {
      nap();
    }
  }
  // Sleeps for kNapUs.
  static void nap();

 private:
  static constexpr int kSpinRounds = 128;
  static constexpr long kNapUs = 50;
  int rounds_ = 0;
};

// The calling thread's id, as the kernel knows it; 0: not asked for yet. A child process has another.
// Initial-exec: in the addon, too, one load; the other models call a function.
extern constinit thread_local uint32_t cachedThreadId __attribute__((tls_model("initial-exec")));
uint32_t readThreadId();
inline uint32_t threadId() {
  uint32_t id = cachedThreadId;
  return id != 0 ? id : readThreadId();
}

// Whether the kernel lends a waiter's priority to the holder of a lock; else why not.
bool kernelInheritsPriority(int* error);

// For critical sections of well under a microsecond, and never above 100. Use with std::lock_guard.
//
// The word is the holder's thread id, 0 when there is none. The kernel adds a bit to it when
// somebody sleeps; then it also hands the lock over, to the waiter of the highest priority.
class SpinLock {
 public:
  void lock() {
    schedulingPoint();
    // acquire pairs with the release in unlock().
    uint32_t nobody = 0;
    if (!word_.compare_exchange_strong(nobody, threadId(), std::memory_order_acquire, std::memory_order_relaxed)) {
      lockContended();
    }
  }
  bool try_lock() {
    schedulingPoint();
    uint32_t nobody = 0;
    return word_.compare_exchange_strong(nobody, threadId(), std::memory_order_acquire, std::memory_order_relaxed);
  }
  void unlock() {
    uint32_t mine = threadId();
    if (!word_.compare_exchange_strong(mine, 0, std::memory_order_release, std::memory_order_relaxed)) {
      unlockContended();
    }
  }

 private:
  // Longer than it takes a thread that was handed the lock to wake up: else, once two threads
  // had met at a lock that both take often, each would sleep for the other ever after.
  static constexpr int kSpinRounds = 512;

  void lockContended();
  void unlockContended();

  std::atomic<uint32_t> word_{0};
};

using SpinGuard = std::lock_guard<SpinLock>;

// Many page operations or one control operation of a guest at a time. Closed for microseconds: what
// takes longer is done with the gate open.
class Gate {
 public:
  void enter() {
    schedulingPoint();
    // acquire pairs with the release in open(): what the control operation did is seen.
    if (state_.fetch_add(1, std::memory_order_acquire) & kClosed) enterClosed();
  }
  // Does not wait: false while a control operation is at work or waiting.
  bool tryEnter() {
    schedulingPoint();
    if (!(state_.fetch_add(1, std::memory_order_acquire) & kClosed)) return true;
    leave();
    return false;
  }
  void leave() {
    schedulingPoint();
    // release pairs with the acquire in close().
    if (state_.fetch_sub(1, std::memory_order_release) == (kClosed | 1)) wakeCloser();
  }

  // For threads that a worker may push off the processor: one of them at a time, so that who
  // closes the gate can lend it its priority. False also while another is inside.
  bool tryEnterInBackground() {
    if (!background_.try_lock()) return false;
    if (tryEnter()) return true;
    background_.unlock();
    return false;
  }
  // Waits for both.
  void enterInBackground();
  void leaveInBackground() {
    leave();
    background_.unlock();
  }
  // Waits until whoever entered so has left, and lends it the caller's priority meanwhile. The
  // caller may be inside, with no lock held.
  void passBackground() {
    background_.lock();
    background_.unlock();
  }

  // Waits for the operations inside; later ones wait outside until open().
  void close();
  void open() {
    schedulingPoint();
    state_.fetch_and(~kClosed, std::memory_order_release);
    control_.unlock();
  }
  // Somebody waits for the operations inside: a long one may leave and enter again. Relaxed: a hint.
  bool closing() const { return state_.load(std::memory_order_relaxed) & kClosed; }

 private:
  static constexpr uint32_t kClosed = 1u << 31;
  static constexpr int kSpinRounds = 128;

  void enterClosed();
  void wakeCloser();

  std::atomic<uint32_t> state_{0};  // how many are inside, and kClosed
  SpinLock control_;                // held while it is closed, so that who waits outside lends to the closer
  SpinLock background_;
};

class GateEntry {
 public:
  explicit GateEntry(Gate& gate) : gate_(gate) { gate_.enter(); }
  ~GateEntry() { gate_.leave(); }
  GateEntry(const GateEntry&) = delete;
  GateEntry& operator=(const GateEntry&) = delete;

 private:
  Gate& gate_;
};

class GateClosure {
 public:
  explicit GateClosure(Gate& gate) : gate_(gate) { gate_.close(); }
  ~GateClosure() { gate_.open(); }
  GateClosure(const GateClosure&) = delete;
  GateClosure& operator=(const GateClosure&) = delete;

 private:
  Gate& gate_;
};

}  // namespace tmemd

#endif  // TMEMD_ENGINE_SYNC_H_
