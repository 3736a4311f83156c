#include "bench/collect/sieve.h"

#include <lz4.h>

#include <cstring>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace tmemd::bench {

namespace {
constexpr int kStubbornBytes = 3800;
}

void Sieve::add(const std::byte* bytes) {
  if (full() || std::memcmp(bytes, bytes + 8, kPage - 8) == 0) return;
  if (!seen_.insert(XXH3_64bits(bytes, kPage)).second) return;
  char out[LZ4_COMPRESSBOUND(kPage)];
  const int length = LZ4_compress_default(reinterpret_cast<const char*>(bytes), out, kPage, sizeof out);
  std::vector<RawPage>& into = length > kStubbornBytes ? stubborn_ : pages_;
  if (into.size() >= pagesMax_) return;
  std::memcpy(into.emplace_back().data(), bytes, kPage);
}

}  // namespace tmemd::bench
