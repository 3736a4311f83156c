// Fixed-size cells (objects or leaves) of one guest and one kind of page, in spans
// of their own. A guest's cells are apart from others' so that n pages of its
// reserve never need more than ceil(n / cellsPerSpan) frames for each kind.
//
// Every cell of a span says that it is free, by Check::ofFreeCell() in the word of its
// check, before the span is published.
#ifndef TMEMD_ENGINE_CELL_SLAB_H_
#define TMEMD_ENGINE_CELL_SLAB_H_

#include <atomic>
#include <cstdint>

#include "engine/layout.h"
#include "engine/span_table.h"
#include "engine/sync.h"

namespace tmemd {

class CellSlab {
 public:
  // Cells of `cellBytes`, with the word of their check at `checkAt`.
  CellSlab(SpanTable& table, SpanKind kind, uint32_t cellBytes, uint32_t checkAt, uint32_t owner, FrameQuota* quota)
      : table_(table), kind_(kind), cellBytes_(cellBytes), checkAt_(checkAt), owner_(owner), quota_(quota) {}
  ~CellSlab();
  CellSlab(const CellSlab&) = delete;
  CellSlab& operator=(const CellSlab&) = delete;

  static constexpr uint32_t cellsPerSpan(uint32_t cellBytes) { return kSpanDataBytes / cellBytes; }

  // A cell whose bytes are 0 but for its check, which still says that it is free; none
  // (0) when the budget has no room.
  CellRef allocate();
  bool isFree(CellRef ref) const { return *check(ref) == table_.check().ofFreeCell(ref); }
  // Takes a cell back: for a recovery it is free from here on.
  void unpublish(CellRef ref) const;
  // Takes over a span a killed process left: the cells that are not free.
  void adopt(SpanNumber span);
  // After a recovery that failed: forgets its spans, so that the arena stays as it is.
  void abandon() {
    spanCount_.store(0, std::memory_order_relaxed);
    liveCells_.store(0, std::memory_order_relaxed);
  }
  // Unpublishes it first.
  void free(CellRef ref);
  bool owns(SpanNumber span) const { return table_.kindOf(span) == kind_ && table_.binOf(span) == owner_; }
  // Calls look() if that cell is one of this slab in use, and it stays so meanwhile: what was written before
  // it was published may be read. False when it is not.
  template <typename Look>
  bool lookAt(CellRef ref, Look look) {
    SpinGuard guard(lock_);
    // acquire pairs with the release that published the cell.
    if (!owns(cellSpan(ref)) || std::atomic_ref<uint32_t>(*check(ref)).load(std::memory_order_acquire) ==
                                    table_.check().ofFreeCell(ref)) {
      return false;
    }
    look();
    return true;
  }

  uint64_t spanCount() const { return spanCount_.load(std::memory_order_relaxed); }
  uint64_t liveCells() const { return liveCells_.load(std::memory_order_relaxed); }
  uint32_t cellBytes() const { return cellBytes_; }
  // Cells and headers; what is left of its spans is slack.
  uint64_t metadataBytes() const { return liveCells() * cellBytes_ + spanCount() * sizeof(SpanHeader); }

 private:
  uint32_t* words(CellRef ref) const;
  uint32_t* check(CellRef ref) const { return words(ref) + checkAt_ / sizeof(uint32_t); }
  void clear(CellRef ref) const;
  void link(SpanHeader& head);
  void unlink(SpanHeader& head);

  SpanTable& table_;
  const SpanKind kind_;
  const uint32_t cellBytes_;
  const uint32_t checkAt_;
  const uint32_t owner_;
  FrameQuota* const quota_;
  std::atomic<uint64_t> spanCount_{0};
  std::atomic<uint64_t> liveCells_{0};

  SpinLock lock_;             // guards what follows and the spans' headers
  SpanNumber partial_ = 0;    // spans with free cells, most recently freed into first
};

}  // namespace tmemd

#endif  // TMEMD_ENGINE_CELL_SLAB_H_
