#include "engine/xxh3.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace tmemd {

#if defined(TMEMD_AVX2)
uint64_t xxh3Avx2(const void* bytes, size_t sizeBytes, const void* secret, size_t secretBytes);  // xxh3_avx2.cc
#endif

namespace {

uint64_t baseline(const void* bytes, size_t sizeBytes, const void* secret, size_t secretBytes) {
  return XXH3_64bits_withSecret(bytes, sizeBytes, secret, secretBytes);
}

auto choose() {
#if defined(TMEMD_AVX2)
  if (__builtin_cpu_supports("avx2")) return xxh3Avx2;
#endif
  return baseline;
}

}  // namespace

uint64_t xxh3(const void* bytes, size_t sizeBytes, const void* secret, size_t secretBytes) {
  static const auto chosen = choose();
  return chosen(bytes, sizeBytes, secret, secretBytes);
}

}  // namespace tmemd
