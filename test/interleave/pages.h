// The pages that programs put, by number: what comes back is one of them or nobody's.
#ifndef TMEMD_TEST_INTERLEAVE_PAGES_H_
#define TMEMD_TEST_INTERLEAVE_PAGES_H_

#include <cstdint>

#include "native/store_fixture.h"

namespace interleave {

inline constexpr uint32_t kPages = 32;         // 1 to 15 compress, 16 to 31 do not
inline constexpr uint32_t kNobodysPage = ~0u;

const tmemd::Page& pageOf(uint32_t number);
uint32_t numberOf(const tmemd::Page& page);
// Those that only take room: none compresses, and no two are equal.
tmemd::Page fillerPage(uint32_t number);

}  // namespace interleave

#endif  // TMEMD_TEST_INTERLEAVE_PAGES_H_
