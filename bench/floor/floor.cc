#include "bench/floor/floor.h"

#include <lz4.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <chrono>
#include <cstring>

namespace tmemd::bench {

namespace {

constexpr int kPageBytes = 4096;
constexpr size_t kLandingPages = 64;
constexpr int kBoundBytes = LZ4_COMPRESSBOUND(kPageBytes);

template <typename Work>
uint64_t timed(Work work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  const auto elapsed = std::chrono::steady_clock::now() - start;
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(elapsed).count());
}

}  // namespace

Floor::Floor(std::span<const std::byte> corpus)
    : corpus_(corpus), landing_(kLandingPages * kPageBytes), state_(static_cast<size_t>(LZ4_sizeofState())) {
  char out[kBoundBytes];
  for (size_t page = 0; page < pageCount(); ++page) {
    const std::byte* in = corpus_.data() + page * kPageBytes;
    const int bytes = LZ4_compress_fast_extState(state_.data(), reinterpret_cast<const char*>(in), out,
                                                 kPageBytes, kBoundBytes, 1);
    const bool raw = bytes <= 0 || bytes >= kPageBytes;
    const auto* from = raw ? in : reinterpret_cast<const std::byte*>(out);
    const uint32_t kept = raw ? kPageBytes : static_cast<uint32_t>(bytes);
    index_.push_back({packed_.size(), kept});
    packed_.insert(packed_.end(), from, from + kept);
  }
}

uint64_t Floor::put(std::span<const uint32_t> pages) {
  alignas(64) char staged[kPageBytes];
  char out[kBoundBytes];
  return timed([&] {
    for (const uint32_t page : pages) {
      std::memcpy(staged, corpus_.data() + size_t{page} * kPageBytes, kPageBytes);
      digest_ += XXH3_64bits_withSeed(staged, kPageBytes, 1);
      digest_ += static_cast<uint64_t>(
          LZ4_compress_fast_extState(state_.data(), staged, out, kPageBytes, kBoundBytes, 1));
    }
  });
}

uint64_t Floor::get(std::span<const uint32_t> pages) {
  return timed([&] {
    size_t turn = 0;
    for (const uint32_t page : pages) {
      const Packed& from = index_[page];
      const char* in = reinterpret_cast<const char*>(packed_.data() + from.offset);
      char* out = reinterpret_cast<char*>(landing_.data() + (turn++ % kLandingPages) * kPageBytes);
      if (from.bytes == kPageBytes)
        std::memcpy(out, in, kPageBytes);
      else
        digest_ +=
            static_cast<uint64_t>(LZ4_decompress_safe(in, out, static_cast<int>(from.bytes), kPageBytes));
    }
  });
}

uint64_t Floor::copy(std::span<const uint32_t> pages) {
  return timed([&] {
    for (const uint32_t page : pages)
      std::memcpy(landing_.data(), corpus_.data() + size_t{page} * kPageBytes, kPageBytes);
  });
}

}  // namespace tmemd::bench
