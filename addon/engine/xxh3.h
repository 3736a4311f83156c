// XXH3-64 by the widest vectors this processor has: AVX2 halves its time on a page, and
// nothing else here needs more than the architecture's baseline.
#ifndef TMEMD_ENGINE_XXH3_H_
#define TMEMD_ENGINE_XXH3_H_

#include <cstddef>
#include <cstdint>

namespace tmemd {

// The same value on every processor. The secret has at least 136 bytes.
uint64_t xxh3(const void* bytes, size_t sizeBytes, const void* secret, size_t secretBytes);

}  // namespace tmemd

#endif  // TMEMD_ENGINE_XXH3_H_
