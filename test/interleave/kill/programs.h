// The programs whose threads are killed.
#ifndef TMEMD_TEST_INTERLEAVE_KILL_PROGRAMS_H_
#define TMEMD_TEST_INTERLEAVE_KILL_PROGRAMS_H_

#include <cstdint>
#include <vector>

#include "interleave/program.h"

namespace interleave {

std::vector<Program> fixedKillPrograms();
// Of all kinds of operations that change what is kept, by chance.
Program randomKillProgram(uint64_t seed);

}  // namespace interleave

#endif  // TMEMD_TEST_INTERLEAVE_KILL_PROGRAMS_H_
