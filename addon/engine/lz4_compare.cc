#include "engine/lz4_compare.h"

namespace tmemd {

#if defined(TMEMD_AVX2)

bool lz4HoldsAvx2(const uint8_t* block, uint32_t lengthBytes, const uint8_t* page);  // lz4_compare_avx2.cc

bool canCompareLz4() {
  static const bool can = __builtin_cpu_supports("avx2");
  return can;
}

bool lz4Holds(const std::byte* block, uint32_t lengthBytes, const std::byte* page) {
  return lz4HoldsAvx2(reinterpret_cast<const uint8_t*>(block), lengthBytes, reinterpret_cast<const uint8_t*>(page));
}

#else

bool canCompareLz4() { return false; }

bool lz4Holds(const std::byte*, uint32_t, const std::byte*) { return false; }

#endif

}  // namespace tmemd
