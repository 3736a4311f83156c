// How long operations took, in buckets of powers of two.
//
// Bucket i counts latencies of at most bound(i) nanoseconds and more than the
// bound before it; the last bucket has no bound. One thread records, any
// thread reads.
#ifndef TMEMD_DEVICE_LATENCY_HISTOGRAM_H_
#define TMEMD_DEVICE_LATENCY_HISTOGRAM_H_

#include <time.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace tmemd {

// A counter with one writer and any number of readers.
class OwnedCounter {
 public:
  void add(uint64_t amount) {
    // Relaxed throughout: a reader wants a recent value and orders nothing by it.
    value_.store(value_.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
  }
  uint64_t read() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

class LatencyHistogram {
 public:
  static constexpr size_t kFirstBoundLog2 = 9;  // 512 ns
  static constexpr size_t kBounds = 18;         // the last is 2^26 ns, 67 ms
  static constexpr size_t kBuckets = kBounds + 1;

  static constexpr uint64_t boundNs(size_t bucket) { return uint64_t{1} << (kFirstBoundLog2 + bucket); }

  static constexpr size_t bucketOf(uint64_t ns) {
    // The smallest n with ns <= 2^n.
    const size_t log2 = ns <= 1 ? 0 : std::bit_width(ns - 1);
    return log2 <= kFirstBoundLog2 ? 0 : std::min(log2 - kFirstBoundLog2, kBounds);
  }

  void record(uint64_t ns, uint64_t times = 1) {
    counts_[bucketOf(ns)].add(times);
    sumNs_.add(ns * times);
  }

  uint64_t count(size_t bucket) const { return counts_[bucket].read(); }
  uint64_t sumNs() const { return sumNs_.read(); }

 private:
  std::array<OwnedCounter, kBuckets> counts_;
  OwnedCounter sumNs_;
};

// CLOCK_MONOTONIC, without a system call.
inline uint64_t nowNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace tmemd

#endif  // TMEMD_DEVICE_LATENCY_HISTOGRAM_H_
