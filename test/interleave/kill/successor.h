// The process that comes after a kill: it recovers the arena as the kill left it, and is held against what the
// threads of the run were told.
#ifndef TMEMD_TEST_INTERLEAVE_KILL_SUCCESSOR_H_
#define TMEMD_TEST_INTERLEAVE_KILL_SUCCESSOR_H_

#include <cstdint>
#include <string>

#include "interleave/scheduler.h"

namespace interleave {

struct Succession {
  uint32_t stores = 0;  // that the recovery made
  std::string wrong;    // empty: all is as it must be
};
// Of the run before. The recovery is killed itself before store number `killRecovery`, and begun anew by
// a third process that is judged as well; UINT32_MAX: not killed.
Succession succeed(uint32_t killRecovery);

}  // namespace interleave

#endif  // TMEMD_TEST_INTERLEAVE_KILL_SUCCESSOR_H_
