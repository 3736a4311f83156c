// The arithmetic nobody can avoid: a copy, a hash and LZ4 for a put; LZ4's
// decoder, in the same random order, for a get.
#ifndef TMEMD_BENCH_NATIVE_FLOOR_H_
#define TMEMD_BENCH_NATIVE_FLOOR_H_

#include <lz4.h>

#include <cstring>
#include <vector>

#include "corpus.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace tmemd::bench {

struct Floor {
  alignas(64) std::byte page[4096];
  alignas(64) char encoded[LZ4_COMPRESSBOUND(4096)];
  uint64_t sink = 0;

  void copyAndHash(const CorpusPage& from) {
    std::memcpy(page, from.data(), 4096);
    sink += XXH3_64bits(page, 4096);
  }
  int put(const CorpusPage& from) {
    copyAndHash(from);
    return LZ4_compress_default(reinterpret_cast<const char*>(page), encoded, 4096, sizeof encoded);
  }
};

// Every page compressed, one after another, as tightly as can be.
class CompressedCorpus {
 public:
  explicit CompressedCorpus(const std::vector<CorpusPage>& pages) {
    Floor floor;
    for (const CorpusPage& page : pages) {
      int length = floor.put(page);
      starts_.push_back(bytes_.size());
      bytes_.insert(bytes_.end(), floor.encoded, floor.encoded + length);
    }
    starts_.push_back(bytes_.size());
  }
  void get(size_t i, std::byte* out) const {
    LZ4_decompress_safe(bytes_.data() + starts_[i], reinterpret_cast<char*>(out),
                        static_cast<int>(starts_[i + 1] - starts_[i]), 4096);
  }
  size_t totalBytes() const { return bytes_.size(); }

 private:
  std::vector<char> bytes_;
  std::vector<size_t> starts_;
};

}  // namespace tmemd::bench

#endif  // TMEMD_BENCH_NATIVE_FLOOR_H_
