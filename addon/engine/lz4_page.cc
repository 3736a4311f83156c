#include "engine/lz4_page.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace tmemd {

namespace {

// The LZ4 block format: the last five bytes are literals, and no match begins in the
// last twelve.
constexpr uint32_t kLastLiterals = 5;
constexpr uint32_t kMatchMargin = 12;
constexpr uint32_t kMatchMin = 4;
constexpr uint32_t kCountMax = 15;  // in a token; more follows in bytes of 255

// What is poor: a block so long, in percent of what it holds. On pages of programs and
// libraries this gives up 92 % of those LZ4 leaves above 3800 bytes, and 0.9 % of the others
// (0.17 % of their bytes); of heaps and text hardly any.
constexpr uint32_t kPoorStartPercent = 92;
constexpr uint32_t kPoorTrialPercent = 95;

// After this many misses the search goes on in steps one longer each time.
constexpr uint32_t kMissesPerStep = 64;

uint32_t read32(const uint8_t* at) {
  uint32_t value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

uint64_t read64(const uint8_t* at) {
  uint64_t value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

uint8_t* writeCount(uint8_t* out, uint32_t beyond) {
  for (; beyond >= 255; beyond -= 255) *out++ = 255;
  *out++ = static_cast<uint8_t>(beyond);
  return out;
}

// Writes up to 31 bytes more than `count`.
void copyLiterals(uint8_t* to, const uint8_t* from, uint32_t count) {
  for (uint32_t at = 0; at < count; at += 32) std::memcpy(to + at, from + at, 32);
}

// Equal bytes at `a` and at `b`, which lies before it; `a` up to `end`.
uint32_t equalBytes(const uint8_t* in, uint32_t a, uint32_t b, uint32_t end) {
  const uint32_t begin = a;
  while (a + 8 <= end) {
    uint64_t differing = read64(in + a) ^ read64(in + b);
    // Little endian: the first byte is the lowest.
    if (differing) return a - begin + static_cast<uint32_t>(std::countr_zero(differing)) / 8;
    a += 8, b += 8;
  }
  while (a < end && in[a] == in[b]) a++, b++;
  return a - begin;
}

}  // namespace

// `givesUp` is asked once, at the end of the input's first eighth: how much was read, and
// how much is it in the block. 0 when it said so.
template <uint32_t kLength, uint32_t kBits, typename GivesUp>
uint32_t Lz4PageEncoder::run(Positions<kBits>& positions, const uint8_t* in, uint8_t* out, GivesUp givesUp) {
  constexpr uint32_t kSearchEnd = kLength - kMatchMargin + 1;
  constexpr uint32_t kMatchEnd = kLength - kLastLiterals;
  auto slotOf = [](uint32_t four) { return four * 2654435761u >> (32 - kBits); };
  uint16_t* const entries = positions.data();
  auto enter = [entries](uint32_t slot, uint32_t position) {
    uint32_t before = entries[slot];
    entries[slot] = static_cast<uint16_t>(position);
    return before;
  };
  // An empty entry names position 0, which is as good a place to look as any.
  positions.fill(0);

  // Where the search stops to ask; afterwards where it ends.
  uint32_t stop = kLength / 8;
  uint8_t* to = out;
  uint32_t literals = 0;  // where those not yet written begin
  uint32_t at = 1;
  for (;;) {
    uint32_t match;
    {
      uint32_t next = at, step = 1, misses = kMissesPerStep;
      uint32_t nextFour = read32(in + next);
      uint32_t nextSlot = slotOf(nextFour);
      bool matched;
      do {
        at = next;
        uint32_t four = nextFour;
        next += step;
        step = misses++ / kMissesPerStep;
        if (next >= stop) [[unlikely]] {
          if (next >= kSearchEnd) goto finish;
          if (givesUp(at, static_cast<uint32_t>(to - out) + at - literals)) return 0;
          stop = kSearchEnd;
        }
        match = enter(nextSlot, at);
        nextFour = read32(in + next);
        nextSlot = slotOf(nextFour);
        matched = read32(in + match) == four;
      } while (!matched);
    }
    while (at > literals && match > 0 && in[at - 1] == in[match - 1]) at--, match--;

    uint8_t* token = to++;
    uint32_t count = at - literals;
    if (count >= kCountMax) {
      *token = kCountMax << 4;
      to = writeCount(to, count - kCountMax);
      copyLiterals(to, in + literals, count);
    } else {
      *token = static_cast<uint8_t>(count << 4);
      std::memcpy(to, in + literals, 16);
    }
    to += count;

    for (;;) {
      uint32_t distance = at - match;
      *to++ = static_cast<uint8_t>(distance);
      *to++ = static_cast<uint8_t>(distance >> 8);
      count = equalBytes(in, at + kMatchMin, match + kMatchMin, kMatchEnd);
      at += kMatchMin + count;
      if (count >= kCountMax) {
        *token |= kCountMax;
        to = writeCount(to, count - kCountMax);
      } else {
        *token |= static_cast<uint8_t>(count);
      }
      literals = at;
      if (at >= stop) [[unlikely]] {
        if (at >= kSearchEnd) goto finish;
        if (givesUp(at, static_cast<uint32_t>(to - out))) return 0;
        stop = kSearchEnd;
      }
      enter(slotOf(read32(in + at - 2)), at - 2);
      uint32_t four = read32(in + at);
      match = enter(slotOf(four), at);
      if (read32(in + match) != four) break;
      token = to++;
      *token = 0;
    }
    at++;
  }
finish:
  uint32_t count = kLength - literals;
  uint8_t* token = to++;
  *token = static_cast<uint8_t>(std::min(count, kCountMax) << 4);
  if (count >= kCountMax) to = writeCount(to, count - kCountMax);
  std::memcpy(to, in + literals, count);
  return static_cast<uint32_t>(to + count - out);
}

bool Lz4PageEncoder::piecesLookPoor(const std::byte* page) {
  uint8_t pieces[kTrialBytes + kReadBeyondBytes];
  uint8_t out[kTrialBytes + 64];
  constexpr uint32_t kStride = kPageLength / kTrialPieces;
  for (uint32_t i = 0; i < kTrialPieces; i++) {
    std::memcpy(pieces + i * kPieceBytes, page + i * kStride + (kStride - kPieceBytes) / 2, kPieceBytes);
  }
  uint32_t length = run<kTrialBytes, kTrialBits>(trial_, pieces, out, [](uint32_t, uint32_t) { return false; });
  return length * 100 >= kTrialBytes * kPoorTrialPercent;
}

uint32_t Lz4PageEncoder::encode(const std::byte* page, std::byte* out) {
  return run<kPageLength, kPageBits>(page_, reinterpret_cast<const uint8_t*>(page), reinterpret_cast<uint8_t*>(out),
                                     [&](uint32_t read, uint32_t written) {
                                       return written * 100 >= read * kPoorStartPercent && piecesLookPoor(page);
                                     });
}

}  // namespace tmemd
