// A page into an LZ4 block, or early word that it is not worth one.
//
// liblz4 decodes what this writes; its own encoder is not used for puts because it cannot
// stop halfway: on pages it can do nothing with it costs several times what copying
// and hashing them does. This one makes the same blocks as LZ4_compress_default in the same
// time, and looks after the first eighth whether there was anything to save. If not,
// pieces from all over the page are tried, and only when those save nothing either is it
// given up.
#ifndef TMEMD_ENGINE_LZ4_PAGE_H_
#define TMEMD_ENGINE_LZ4_PAGE_H_

#include <array>
#include <cstddef>
#include <cstdint>

namespace tmemd {

// Of one thread.
class Lz4PageEncoder {
 public:
  static constexpr uint32_t kPageLength = 4096;
  // Bytes after the page that may be read, whatever they are.
  static constexpr size_t kReadBeyondBytes = 32;
  // A block is at most 4096 + 4096 / 255 + 16 bytes; literals are written 32 at a time.
  static constexpr size_t kRoomBytes = 4608;

  // `page` is 4096 bytes nobody writes to meanwhile and kReadBeyondBytes more; `out` has
  // kRoomBytes of room. Returns the block's length, which may exceed the page's; 0: given up.
  uint32_t encode(const std::byte* page, std::byte* out);

 private:
  static constexpr uint32_t kTrialPieces = 4;
  static constexpr uint32_t kPieceBytes = 256;
  static constexpr uint32_t kTrialBytes = kTrialPieces * kPieceBytes;

  // Where four bytes were last seen, by their hash. For the trial a small one: clearing it shows.
  static constexpr uint32_t kPageBits = 13;  // as liblz4 has for inputs below 64 KiB
  static constexpr uint32_t kTrialBits = 11;
  template <uint32_t kBits>
  using Positions = std::array<uint16_t, 1u << kBits>;

  template <uint32_t kLength, uint32_t kBits, typename GivesUp>
  static uint32_t run(Positions<kBits>& positions, const uint8_t* in, uint8_t* out, GivesUp givesUp);
  bool piecesLookPoor(const std::byte* page);

  alignas(64) Positions<kPageBits> page_;
  alignas(64) Positions<kTrialBits> trial_;
};

}  // namespace tmemd

#endif  // TMEMD_ENGINE_LZ4_PAGE_H_
