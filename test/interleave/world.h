// A program's store, brought back to its beginning for each run, and the judgement of what the run did.
#ifndef TMEMD_TEST_INTERLEAVE_WORLD_H_
#define TMEMD_TEST_INTERLEAVE_WORLD_H_

#include <span>
#include <string>

#include "interleave/program.h"
#include "interleave/scheduler.h"

namespace interleave {

// One at a time. A program is prepared once and run many times. With `judgeRefusals` a persistent put that was
// refused is wrong: no program's persistent pages fill its store, and ephemeral ones yield (contract 5).
// Within the reserve it is always wrong (contract 6).
void prepare(const Program& program, bool judgeRefusals);
// The arena's bytes, at one place from prepare() on.
std::span<const std::byte> arenaBytes();
size_t arenaFramesAt();

struct Verdict {
  RunResult run;
  std::string wrong;  // empty: all is as it must be
};
// After a kill nothing is judged here.
Verdict runOnce(const Schedule& schedule);

// The pages that fill the store to begin with, if they are persistent: of guest 0, in objects from 1 up.
uint32_t fillers();
bool fillerWasFlushed(const Program& program, uint32_t number);
struct FillerPlace {
  uint64_t object;
  uint32_t index;
};
FillerPlace fillerPlace(uint32_t number);

}  // namespace interleave

#endif  // TMEMD_TEST_INTERLEAVE_WORLD_H_
