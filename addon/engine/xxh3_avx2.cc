// Compiled with -mavx2 where that exists. No C++ header may be included here: an inline
// function of one, compiled for AVX2, could be the copy the linker keeps for all.
#if defined(__AVX2__)

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace tmemd {

uint64_t xxh3Avx2(const void* bytes, size_t sizeBytes, const void* secret, size_t secretBytes);

uint64_t xxh3Avx2(const void* bytes, size_t sizeBytes, const void* secret, size_t secretBytes) {
  return XXH3_64bits_withSecret(bytes, sizeBytes, secret, secretBytes);
}

}  // namespace tmemd

#endif
