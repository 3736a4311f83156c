// Compiled with -mavx2 where that exists. No C++ header may be included here: an inline
// function of one, compiled for AVX2, could be the copy the linker keeps for all.
//
// What differs is gathered and looked at in the end. A branch for each literal and match is
// a fifth slower, and nearly every block asked about does hold the page.
#if defined(__AVX2__)

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

namespace tmemd {

bool lz4HoldsAvx2(const uint8_t* block, uint32_t lengthBytes, const uint8_t* page);

namespace {

constexpr uint32_t kPageLength = 4096;
constexpr uint32_t kStep = 32;        // bytes of a vector
constexpr uint32_t kMatchMin = 4;
constexpr uint32_t kCountMax = 15;    // in a token; more follows in bytes of 255
constexpr uint32_t kDistanceBytes = 2;

// kStep bytes read at kStep - n: the first n are ones.
alignas(64) constexpr uint8_t kFirst[2 * kStep] = {
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};

__m256i load(const uint8_t* at) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)); }

__m256i difference(const uint8_t* a, const uint8_t* b) { return _mm256_xor_si256(load(a), load(b)); }

// In the first `count` bytes, at most kStep.
__m256i difference(const uint8_t* a, const uint8_t* b, uint32_t count) {
  return _mm256_and_si256(difference(a, b), load(kFirst + kStep - count));
}

// Adds the bytes of 255 and the last one; false when the block ends before that.
bool readCount(const uint8_t*& from, const uint8_t* end, uint32_t& count) {
  uint32_t more;
  do {
    if (from == end) return false;
    more = *from++;
    count += more;
  } while (more == 255);
  return true;
}

}  // namespace

bool lz4HoldsAvx2(const uint8_t* block, uint32_t lengthBytes, const uint8_t* page) {
  const uint8_t* from = block;
  const uint8_t* const end = block + lengthBytes;
  // Before this a token, a vector of literals and a distance can be read.
  const uint8_t* const roomy = lengthBytes > 1 + kStep + kDistanceBytes ? end - (1 + kStep + kDistanceBytes) : block;
  uint32_t at = 0;  // in the page; never above its length when a literal run begins
  __m256i differing = _mm256_setzero_si256();
  while (from != end) {
    const bool vectorFits = from < roomy;
    const uint32_t token = *from++;
    uint32_t literals = token >> 4;
    if (literals != kCountMax && vectorFits) [[likely]] {
      differing = _mm256_or_si256(differing, difference(from, page + at, literals));
      from += literals;
      at += literals;
    } else {
      if (literals == kCountMax && !readCount(from, end, literals)) return false;
      if (literals > static_cast<size_t>(end - from) || literals > kPageLength - at) return false;
      if (__builtin_memcmp(page + at, from, literals) != 0) return false;
      from += literals;
      at += literals;
      if (from == end) return at == kPageLength && _mm256_testz_si256(differing, differing);
      if (end - from < static_cast<ptrdiff_t>(kDistanceBytes)) return false;
    }
    uint16_t distance;
    __builtin_memcpy(&distance, from, kDistanceBytes);
    from += kDistanceBytes;
    uint32_t count = (token & kCountMax) + kMatchMin;
    if (count == kCountMax + kMatchMin && !readCount(from, end, count)) return false;
    // Of distance 0 too, which no block has.
    if (distance - 1u >= at || at + count > kPageLength) [[unlikely]] return false;
    const uint8_t* to = page + at;
    at += count;
    for (; count > kStep; count -= kStep, to += kStep) {
      differing = _mm256_or_si256(differing, difference(to, to - distance));
    }
    differing = _mm256_or_si256(differing, difference(to, to - distance, count));
  }
  return false;  // a block ends with literals
}

}  // namespace tmemd

#endif
