// From a page to the bytes that are stored for it, and back.
//
// The checksum is over the stored bytes, their length and codec: it is verified
// before a decoder sees them, because what was decoded lies in memory the guest
// can write and is never read back. Decoders get exact bounds all the same.
#ifndef TMEMD_ENGINE_CODEC_H_
#define TMEMD_ENGINE_CODEC_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "engine/bin.h"
#include "engine/layout.h"
#include "engine/lz4_compare.h"
#include "engine/lz4_page.h"
#include "engine/store.h"

struct ZSTD_CCtx_s;
struct ZSTD_DCtx_s;

namespace tmemd {

// Keys of the two hashes, drawn anew for each arena.
class PageHash {
 public:
  explicit PageHash(uint64_t seed);
  // Of a whole page; the two below are made from it without reading it again.
  uint64_t page(const std::byte* page) const;
  // Of a page's content inside a dedup group.
  static uint64_t content(uint64_t pageHash, uint64_t groupSalt);
  // Of the stored form of a page kept as it is.
  static uint32_t storedPlain(uint64_t pageHash);
  // Of a page's stored form.
  uint32_t stored(const std::byte* bytes, uint32_t lengthBytes, Codec codec) const;
  // Of an object's name.
  uint64_t object(uint32_t pool, const uint64_t oid[3]) const;

 private:
  static constexpr size_t kSecretBytes = 192;
  alignas(64) std::byte secret_[kSecretBytes];
  uint64_t seed_;
};

// The 8 bytes a page repeats, if it does.
std::optional<uint64_t> repeatedWord(const std::byte* page);

// Scratch memory of one thread.
struct CodecScratch {
  CodecScratch() = default;
  ~CodecScratch();
  CodecScratch(const CodecScratch&) = delete;
  CodecScratch& operator=(const CodecScratch&) = delete;

  static constexpr size_t kReadBeyondBytes = std::max(Lz4PageEncoder::kReadBeyondBytes, kLz4CompareBeyondBytes);

  // Staged for puts; the settler uses the first.
  alignas(64) std::byte pages[kPutPagesMax * kPageBytes + kReadBeyondBytes] = {};
  alignas(64) std::byte encoded[Lz4PageEncoder::kRoomBytes];
  alignas(64) std::byte compare[4096];
  Lz4PageEncoder lz4;
  bool storedRaw = false;  // what encodePage() came to last
  ZSTD_DCtx_s* zstdDecoder = nullptr;  // made when the first such page is met
};

// What the background tries on pages that have not been touched for a while.
class SettlingEncoder {
 public:
  SettlingEncoder();
  ~SettlingEncoder();
  SettlingEncoder(const SettlingEncoder&) = delete;
  SettlingEncoder& operator=(const SettlingEncoder&) = delete;
  // A form smaller than `now`, which is one of LZ4, by enough to be worth it: LZ4 searched harder, if that
  // was not done; with `coldest`, zstd where that is a quarter smaller still.
  std::optional<EncodedPage> encode(const PageHash& hash, const std::byte* page, Entry now, bool coldest);
  // What a block of LZ4 is after that.
  static constexpr Codec tried(bool coldest) { return coldest ? Codec::kLz4Final : Codec::kLz4Settled; }

 private:
  void* lz4State_;
  ZSTD_CCtx_s* zstd_;
  alignas(64) std::byte lz4_[4608];
  alignas(64) std::byte zstdOut_[4608];
};

// LZ4 if that is smaller by enough, else the page itself. `page` is one of scratch.pages, and
// `pageHash` is hash.page(page).
EncodedPage encodePage(CodecScratch& scratch, const PageHash& hash, const std::byte* page, uint64_t pageHash);
// A page of one repeated word that no slot value stands for.
EncodedPage encodeRepeated(const PageHash& hash, const uint64_t* word);

// Is `page`, one of scratch.pages, what a block holds? The checksum is not looked at: bytes from
// which the page comes back are the page's, whatever happened to them.
bool holdsPage(CodecScratch& scratch, const std::byte* page, Entry entry, const std::byte* bytes);

// False when the bytes are not what was stored; `out` is untouched then.
bool decodePage(CodecScratch& scratch, const PageHash& hash, Entry entry, const std::byte* bytes, std::byte* out);

}  // namespace tmemd

#endif  // TMEMD_ENGINE_CODEC_H_
