// A program's store, brought back to its beginning for each run, and the judgement of what the run did.
#ifndef TMEMD_TEST_INTERLEAVE_WORLD_H_
#define TMEMD_TEST_INTERLEAVE_WORLD_H_

#include <string>

#include "interleave/program.h"
#include "interleave/scheduler.h"

namespace interleave {

// One at a time. A program is prepared once and run many times. With `judgeRefusals` a persistent put that was
// refused is wrong: no program's persistent pages fill its store, and ephemeral ones yield (contract 5).
// Within the reserve it is always wrong (contract 6).
void prepare(const Program& program, bool judgeRefusals);
struct Verdict {
  uint32_t steps = 0;
  std::string wrong;  // empty: all is as it must be
};
Verdict runOnce(const Schedule& schedule);

}  // namespace interleave

#endif  // TMEMD_TEST_INTERLEAVE_WORLD_H_
