// Short names for what programs are made of.
#ifndef TMEMD_TEST_INTERLEAVE_PROGRAM_PARTS_H_
#define TMEMD_TEST_INTERLEAVE_PROGRAM_PARTS_H_

#include "interleave/program.h"

namespace interleave {

using O = Operation;

inline constexpr bool kPersistent = true;
inline constexpr bool kEphemeral = false;

inline O of(O::Kind kind, uint32_t guest, bool persistent = true, uint32_t index = 0, uint32_t page = 0) {
  return {kind, guest, persistent, 0, index, page};
}
inline O put(uint32_t guest, bool persistent, uint32_t index, uint32_t page) {
  return of(O::kPut, guest, persistent, index, page);
}
inline O get(uint32_t guest, bool persistent, uint32_t index) { return of(O::kGet, guest, persistent, index); }
inline O flush(uint32_t guest, bool persistent, uint32_t index) { return of(O::kFlush, guest, persistent, index); }

}  // namespace interleave

#endif  // TMEMD_TEST_INTERLEAVE_PROGRAM_PARTS_H_
