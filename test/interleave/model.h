// What the threads of a run were told, and what they had asked for when it ended: what a store is judged by.
#ifndef TMEMD_TEST_INTERLEAVE_MODEL_H_
#define TMEMD_TEST_INTERLEAVE_MODEL_H_

#include <string>

#include "interleave/history.h"
#include "interleave/ledger.h"
#include "interleave/program.h"
#include "interleave/scheduler.h"

namespace interleave {

inline constexpr uint32_t kGuestsMax = 3;
inline constexpr uint32_t kIndexes = 8;

struct Model {
  const Program* program = nullptr;
  // A persistent put that was refused is wrong. Within the reserve it always is.
  bool refusalsJudged = false;
  // By guest, kind (1: persistent) and index: of object 0.
  History histories[kGuestsMax][2][kIndexes];
  uint32_t pagesBefore[kGuestsMax][2][kIndexes];
  Ledger ledgers[kGuestsMax];
  Ledger ledgersBefore[kGuestsMax];
  // By thread: what it is about, null between two operations.
  struct InFlight {
    const Operation* operation = nullptr;
    uint64_t begun = 0;
  } inFlight[kThreadsMax + 1];

  // A run begins, where the program's first operations ended.
  void begin();
  bool touched(uint32_t guest, uint32_t kind, uint32_t index) const {
    return histories[guest][kind][index].count() > 0 || pagesBefore[guest][kind][index] != kNothing;
  }
  // The first thing that is wrong is kept. Nothing is allocated.
  void note(const char* what, const Operation& operation, uint32_t detail);
  const char* wrong() const { return wrong_ ? text_ : nullptr; }
  // Which key has a history that no order explains; empty: none has.
  std::string unexplained() const;
  static std::string unexplained(uint32_t guest, bool persistent, uint32_t index, uint32_t before, const History& history);

 private:
  bool wrong_ = false;
  char text_[200];
};

}  // namespace interleave

#endif  // TMEMD_TEST_INTERLEAVE_MODEL_H_
