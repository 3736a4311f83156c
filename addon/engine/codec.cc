#include "engine/codec.h"

#include <lz4.h>
#include <lz4hc.h>
#include <zstd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#include "engine/incompressible.h"
#include "engine/xxh3.h"

namespace tmemd {

namespace {

constexpr uint32_t kPageLength = 4096;
// Stored raw when LZ4 saves less: a raw page is got at the price of a copy.
constexpr uint32_t kWorthLz4Bytes = kPageLength - 64;

uint64_t mix(uint64_t x) {  // the finaliser of SplitMix64
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}

// Ties a hash of stored bytes to their length and form. What LZ4 made is one form, whatever else was tried.
uint32_t bind(uint64_t sum, uint32_t lengthBytes, Codec codec) {
  uint64_t form = isLz4(codec) ? 0 : static_cast<uint64_t>(codec);
  return static_cast<uint32_t>((sum + lengthBytes * 0x9e3779b97f4a7c15u + form * 0xc2b2ae3d27d4eb4fu) >> 32);
}

}  // namespace

PageHash::PageHash(uint64_t seed) : seed_(mix(seed)) {
  uint64_t state = seed_;
  for (size_t i = 0; i < kSecretBytes; i += 8) {
    uint64_t word = mix(state += 0x9e3779b97f4a7c15u);
    std::memcpy(secret_ + i, &word, 8);
  }
}

uint64_t PageHash::page(const std::byte* bytes) const {
  return xxh3(bytes, kPageLength, secret_, kSecretBytes);
}

uint64_t PageHash::content(uint64_t pageHash, uint64_t groupSalt) { return mix(pageHash ^ groupSalt); }

uint32_t PageHash::storedPlain(uint64_t pageHash) { return bind(pageHash, kPageLength, Codec::kPlain); }

uint32_t PageHash::stored(const std::byte* bytes, uint32_t lengthBytes, Codec codec) const {
  return bind(xxh3(bytes, lengthBytes, secret_, kSecretBytes), lengthBytes, codec);
}

uint64_t PageHash::object(uint32_t pool, const uint64_t oid[3]) const {
  uint64_t words[4] = {oid[0], oid[1], oid[2], pool};
  return xxh3(words, sizeof words, secret_, kSecretBytes);
}

std::optional<uint64_t> repeatedWord(const std::byte* page) {
  uint64_t first, last;
  std::memcpy(&first, page, 8);
  std::memcpy(&last, page + kPageLength - 8, 8);
  // Nearly all pages are told by their ends.
  if (first != last || std::memcmp(page, page + 8, kPageLength - 8) != 0) return std::nullopt;
  return first;
}

CodecScratch::~CodecScratch() { ZSTD_freeDCtx(zstdDecoder); }

SettlingEncoder::SettlingEncoder()
    : lz4State_(std::malloc(static_cast<size_t>(LZ4_sizeofStateHC()))), zstd_(ZSTD_createCCtx()) {
  if (!lz4State_ || !zstd_) throw std::bad_alloc();
}

SettlingEncoder::~SettlingEncoder() {
  std::free(lz4State_);
  ZSTD_freeCCtx(zstd_);
}

std::optional<EncodedPage> SettlingEncoder::encode(const PageHash& hash, const std::byte* page, Entry now,
                                                   bool coldest) {
  constexpr int kHcLevel = 4;
  constexpr int kZstdLevel = 9;  // decodes as fast as 1 does
  uint32_t best = entryLength(now);
  bool better = false;
  if (entryCodec(now) == Codec::kLz4) {
    int lz4 = LZ4_compress_HC_extStateHC(lz4State_, reinterpret_cast<const char*>(page),
                                         reinterpret_cast<char*>(lz4_), kPageLength, sizeof lz4_, kHcLevel);
    better = lz4 > 0 && unitsFor(static_cast<uint32_t>(lz4)) < unitsFor(best);
    if (better) best = static_cast<uint32_t>(lz4);
  }
  if (coldest) {
    size_t zstd = ZSTD_compressCCtx(zstd_, zstdOut_, sizeof zstdOut_, page, kPageLength, kZstdLevel);
    if (!ZSTD_isError(zstd) && zstd * 4 <= best * size_t{3}) {
      uint32_t length = static_cast<uint32_t>(zstd);
      return EncodedPage{zstdOut_, length, Codec::kZstd, hash.stored(zstdOut_, length, Codec::kZstd)};
    }
  }
  if (!better) return std::nullopt;
  return EncodedPage{lz4_, best, tried(coldest), hash.stored(lz4_, best, tried(coldest))};
}

EncodedPage encodePage(CodecScratch& scratch, const PageHash& hash, const std::byte* page, uint64_t pageHash) {
  bool afterRaw = std::exchange(scratch.storedRaw, false);
  if (!looksIncompressible(page, afterRaw)) {
    uint32_t lengthBytes = scratch.lz4.encode(page, scratch.encoded);
    if (lengthBytes > 0 && lengthBytes <= kWorthLz4Bytes) {
      return {scratch.encoded, lengthBytes, Codec::kLz4, hash.stored(scratch.encoded, lengthBytes, Codec::kLz4)};
    }
  }
  scratch.storedRaw = true;
  return {page, kPageLength, Codec::kPlain, PageHash::storedPlain(pageHash)};
}

EncodedPage encodeRepeated(const PageHash& hash, const uint64_t* word) {
  const std::byte* bytes = reinterpret_cast<const std::byte*>(word);
  return {bytes, sizeof *word, Codec::kPlain, hash.stored(bytes, sizeof *word, Codec::kPlain)};
}

namespace {

// Of bytes that may be anything; what `out` holds when this is false is anything too.
bool decode(CodecScratch& scratch, Codec codec, const std::byte* bytes, uint32_t lengthBytes, std::byte* out) {
  switch (codec) {
    case Codec::kLz4:
    case Codec::kLz4Settled:
    case Codec::kLz4Final:
      return LZ4_decompress_safe(reinterpret_cast<const char*>(bytes), reinterpret_cast<char*>(out),
                                 static_cast<int>(lengthBytes), kPageLength) == static_cast<int>(kPageLength);
    case Codec::kZstd:
      if (!scratch.zstdDecoder) scratch.zstdDecoder = ZSTD_createDCtx();
      return scratch.zstdDecoder &&
             ZSTD_decompressDCtx(scratch.zstdDecoder, out, kPageLength, bytes, lengthBytes) == kPageLength;
    case Codec::kPlain:
      if (lengthBytes == kPageLength) {
        std::memcpy(out, bytes, kPageLength);
        return true;
      }
      if (lengthBytes != sizeof(uint64_t)) return false;
      for (uint32_t i = 0; i < kPageLength; i += sizeof(uint64_t)) std::memcpy(out + i, bytes, sizeof(uint64_t));
      return true;
  }
  return false;
}

}  // namespace

bool holdsPage(CodecScratch& scratch, const std::byte* page, Entry entry, const std::byte* bytes) {
  schedulingPoint();
  uint32_t lengthBytes = entryLength(entry);
  Codec codec = entryCodec(entry);
  if (codec == Codec::kPlain && lengthBytes == kPageLength) return std::memcmp(page, bytes, kPageLength) == 0;
  if (canCompareLz4() && isLz4(codec)) {
    return lz4Holds(bytes, lengthBytes, page);
  }
  return decode(scratch, codec, bytes, lengthBytes, scratch.compare) &&
         std::memcmp(page, scratch.compare, kPageLength) == 0;
}

bool decodePage(CodecScratch& scratch, const PageHash& hash, Entry entry, const std::byte* bytes, std::byte* out) {
  schedulingPoint();
  uint32_t lengthBytes = entryLength(entry);
  Codec codec = entryCodec(entry);
  return hash.stored(bytes, lengthBytes, codec) == entryChecksum(entry) &&
         decode(scratch, codec, bytes, lengthBytes, out);
}

}  // namespace tmemd
