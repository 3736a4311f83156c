// Does an LZ4 block hold a given page? Answered without decoding it.
//
// A block's literals are compared with the page, and a match of it with where it copies
// from *in the page*: up to there the two are the same, or the answer is no already. So
// nothing is written, and matches that overlap themselves are like any other.
//
// The block may hold anything: it is read within its bounds, the page within its own and
// kLz4CompareBeyondBytes.
#ifndef TMEMD_ENGINE_LZ4_COMPARE_H_
#define TMEMD_ENGINE_LZ4_COMPARE_H_

#include <cstddef>
#include <cstdint>

namespace tmemd {

// Bytes after the page that may be read, whatever they are.
inline constexpr size_t kLz4CompareBeyondBytes = 32;

// This processor can. Elsewhere liblz4's decoder and a compare are as fast.
bool canCompareLz4();

// True when the block decodes to exactly the 4096 bytes of `page`.
bool lz4Holds(const std::byte* block, uint32_t lengthBytes, const std::byte* page);

}  // namespace tmemd

#endif  // TMEMD_ENGINE_LZ4_COMPARE_H_
