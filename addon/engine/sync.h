// The two synchronisation primitives of the page path.
//
// Lock order, outermost first (store.cc names who takes which):
//   guest gate (shared)  >  map shard  >  bin, cell slab  >  span table
// Index partitions are leaves: nothing is taken while one is held. Pins on spans
// stand outside this order: a span is only ever *tried* exclusively, and who has it
// so waits for nothing, so a pin may be held or asked for under any lock.
#ifndef TMEMD_ENGINE_SYNC_H_
#define TMEMD_ENGINE_SYNC_H_

#include <atomic>
#include <cstdint>
#include <mutex>
#include <thread>

#include "engine/interleave.h"

namespace tmemd {

inline void cpuRelax() {
  waitPoint();
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Spins briefly, then yields: the holder may have been scheduled out.
class Backoff {
 public:
  void wait() {
    if (++rounds_ < kSpinRounds) {
      cpuRelax();
    } else {
      std::this_thread::yield();
    }
  }

 private:
  static constexpr int kSpinRounds = 128;
  int rounds_ = 0;
};

// For critical sections of well under a microsecond. Use with std::lock_guard.
class SpinLock {
 public:
  void lock() {
    schedulingPoint();
    // acquire pairs with the release in unlock().
    while (locked_.exchange(true, std::memory_order_acquire)) {
      Backoff backoff;
      while (locked_.load(std::memory_order_relaxed)) backoff.wait();
    }
  }
  bool try_lock() {
    schedulingPoint();
    return !locked_.exchange(true, std::memory_order_acquire);
  }
  void unlock() { locked_.store(false, std::memory_order_release); }

 private:
  std::atomic<bool> locked_{false};
};

using SpinGuard = std::lock_guard<SpinLock>;

// Many page operations or one control operation of a guest at a time.
class Gate {
 public:
  void enter() {
    schedulingPoint();
    // acquire pairs with the release in open(): what the control operation did is seen.
    while (state_.fetch_add(1, std::memory_order_acquire) & kClosed) {
      state_.fetch_sub(1, std::memory_order_relaxed);
      Backoff backoff;
      while (state_.load(std::memory_order_relaxed) & kClosed) backoff.wait();
    }
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
    state_.fetch_sub(1, std::memory_order_release);
  }

  // Waits for the operations inside; later ones wait outside until open().
  void close() {
    control_.lock();
    schedulingPoint();
    state_.fetch_or(kClosed, std::memory_order_relaxed);
    Backoff backoff;
    while (state_.load(std::memory_order_acquire) & ~kClosed) backoff.wait();
  }
  void open() {
    schedulingPoint();
    state_.fetch_and(~kClosed, std::memory_order_release);
    control_.unlock();
  }

 private:
  static constexpr uint32_t kClosed = 1u << 31;
  std::atomic<uint32_t> state_{0};
  std::mutex control_;
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
