#include "engine/incompressible.h"

#include <cstdint>
#include <cstring>

namespace tmemd {

namespace {

constexpr uint32_t kPageLength = 4096;

// Different values among `samples` bytes spread over the page.
uint32_t distinctBytes(const std::byte* page, uint32_t samples) {
  uint8_t seen[256] = {};
  uint32_t stride = kPageLength / samples;
  for (uint32_t i = 0; i < samples; i++) seen[std::to_integer<uint8_t>(page[i * stride + (i & 15)])] = 1;
  uint32_t distinct = 0;
  for (uint8_t one : seen) distinct += one;
  return distinct;
}

// 64 draws of 256 values give 57 different ones, give or take 2; 256 draws 162,
// give or take 6. A page LZ4 can do something with hardly ever passes both.
constexpr uint32_t kFewSamples = 64;
constexpr uint32_t kFewDistinct = 50;
constexpr uint32_t kManySamples = 256;
constexpr uint32_t kManyDistinct = 145;

// What LZ4 saves is about the share of four-byte windows that were there before. Looked at
// are some, an odd number of bytes apart, because much lies in rows of 4, 8 or 16. On
// programs and libraries this tells 91 % of the pages LZ4 leaves above 3800 bytes, and costs
// 0.2 % of the others' bytes if it is asked of all. Every second window comes first: two thirds of those pages have
// not one repeat among these, and need no more.
constexpr uint32_t kWindowStride = 11;
constexpr uint32_t kWindowBits = 10;
constexpr uint32_t kFewRepeats = 10;

bool repeatsLittle(const std::byte* page) {
  uint16_t seen[1u << kWindowBits] = {};  // the low half of a window's hash, by its high bits
  uint32_t repeats = 0;
  auto look = [&](uint32_t at) {
    for (; at + sizeof(uint32_t) <= kPageLength; at += 2 * kWindowStride) {
      uint32_t window;
      std::memcpy(&window, page + at, sizeof window);
      uint32_t hash = window * 2654435761u;
      uint16_t low = static_cast<uint16_t>(hash | 1);
      uint16_t& before = seen[hash >> (32 - kWindowBits)];
      repeats += before == low;
      before = low;
    }
  };
  look(1);
  if (repeats == 0) return true;
  if (repeats > kFewRepeats) return false;
  look(1 + kWindowStride);
  return repeats <= kFewRepeats;
}

}  // namespace

bool looksIncompressible(const std::byte* page, bool afterOne) {
  bool varied = distinctBytes(page, kFewSamples) >= kFewDistinct;
  if (afterOne) return varied || repeatsLittle(page);
  return varied && distinctBytes(page, kManySamples) >= kManyDistinct;
}

}  // namespace tmemd
