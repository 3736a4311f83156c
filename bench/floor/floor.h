// The arithmetic floor: what putting and getting a page cannot do without, on
// this core and these pages. Put: copy into a cache-hot buffer, XXH3-64 of it,
// LZ4 of it. Get: LZ4 decode into a page of the reader's.
//
// The compressed pages are kept as a store would, packed one after the other,
// so that a decode in random order meets the cache misses it would meet there.
#ifndef TMEMD_BENCH_FLOOR_FLOOR_H_
#define TMEMD_BENCH_FLOOR_FLOOR_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace tmemd::bench {

class Floor {
 public:
  // `corpus` must outlive this; whole pages of 4096 bytes.
  explicit Floor(std::span<const std::byte> corpus);

  size_t pageCount() const { return corpus_.size() / 4096; }
  // LZ4 bytes of all pages, one by one; a page that does not shrink counts whole.
  uint64_t compressedBytes() const { return packed_.size(); }

  // Nanoseconds for copy + XXH3 + LZ4 of those pages, in that order.
  uint64_t put(std::span<const uint32_t> pages);
  // Nanoseconds for decoding those pages, in that order, into 64 pages in turn.
  uint64_t get(std::span<const uint32_t> pages);
  // Nanoseconds for copying those pages alone.
  uint64_t copy(std::span<const uint32_t> pages);

 private:
  struct Packed {
    uint64_t offset;
    uint32_t bytes;  // 4096: stored raw
  };

  std::span<const std::byte> corpus_;
  std::vector<std::byte> packed_;
  std::vector<Packed> index_;
  std::vector<std::byte> landing_;
  std::vector<std::byte> state_;  // LZ4's
  uint64_t digest_ = 0;           // keeps the arithmetic from being optimised away
};

}  // namespace tmemd::bench

#endif  // TMEMD_BENCH_FLOOR_FLOOR_H_
