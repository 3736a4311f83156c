// How many slots name each block: a byte for each entry, up to the highest that any names.
// For what counts them all, which is recovery and the check of invariants; so that neither
// needs memory for each slot, of which there can be 31 for each block.
//
//   note() every block that may be counted, makeRoom(), count.
#ifndef TMEMD_ENGINE_BLOCK_COUNTS_H_
#define TMEMD_ENGINE_BLOCK_COUNTS_H_

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/layout.h"

namespace tmemd {

class BlockCounts {
 public:
  // Of more references than a block can have, no more is told.
  static constexpr uint8_t kMany = kMaxReferences + 1;

  explicit BlockCounts(uint32_t spanCount) : begin_(spanCount + 1) {}

  void note(Loc loc) {
    uint32_t& entries = begin_[spanOf(loc) + 1];
    entries = std::max(entries, entryOf(loc) + 1);
  }
  void makeRoom() {
    for (size_t i = 1; i < begin_.size(); i++) begin_[i] += begin_[i - 1];
    counts_.resize(begin_.back());
  }
  uint8_t& at(Loc loc) { return counts_[begin_[spanOf(loc)] + entryOf(loc)]; }
  void count(Loc loc) {
    uint8_t& references = at(loc);
    if (references < kMany) references++;
  }
  std::span<uint8_t> of(SpanNumber span) {
    return std::span(counts_).subspan(begin_[span], begin_[span + 1] - begin_[span]);
  }

 private:
  std::vector<uint32_t> begin_;  // of each span's counts; until makeRoom() the one after it holds how many
  std::vector<uint8_t> counts_;
};

}  // namespace tmemd

#endif  // TMEMD_ENGINE_BLOCK_COUNTS_H_
