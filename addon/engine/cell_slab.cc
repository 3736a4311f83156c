#include "engine/cell_slab.h"

#include <cassert>
#include <cstring>

namespace tmemd {

CellSlab::~CellSlab() { assert(liveCells() == 0 && spanCount() == 0); }

uint32_t* CellSlab::words(CellRef ref) const {
  return reinterpret_cast<uint32_t*>(table_.bytes(cellSpan(ref)) + sizeof(SpanHeader) +
                                     size_t{cellBytes_} * cellIndex(ref));
}

void CellSlab::link(SpanHeader& head) {
  head.previous = 0;
  head.next = partial_;
  if (partial_) table_.header(partial_).previous = head.span;
  partial_ = head.span;
}

void CellSlab::unlink(SpanHeader& head) {
  (head.previous ? table_.header(head.previous).next : partial_) = head.next;
  if (head.next) table_.header(head.next).previous = head.previous;
}

void CellSlab::unpublish(CellRef ref) const {
  // release: what the cell held was let go of before. Pairs with recovery.
  std::atomic_ref<uint32_t>(*check(ref)).store(table_.check().ofFreeCell(ref), std::memory_order_release);
}

// All but its check.
void CellSlab::clear(CellRef ref) const {
  std::byte* bytes = reinterpret_cast<std::byte*>(words(ref));
  uint32_t after = checkAt_ + sizeof(uint32_t);
  std::memset(bytes, 0, checkAt_);
  std::memset(bytes + after, 0, cellBytes_ - after);
}

CellRef CellSlab::allocate() {
  SpinGuard guard(lock_);
  if (!partial_) {
    SpanNumber span = table_.take(kind_, owner_, quota_, [this](SpanNumber taken) {
      for (uint32_t cell = 0; cell < cellsPerSpan(cellBytes_); cell++) unpublish(makeCellRef(taken, cell));
    });
    if (!span) return 0;
    spanCount_.fetch_add(1, std::memory_order_relaxed);
    link(table_.header(span));
  }
  SpanHeader& head = table_.header(partial_);
  CellRef ref;
  if (head.freeHead) {
    ref = makeCellRef(head.span, head.freeHead - 1u);
    head.freeHead = static_cast<uint16_t>(words(ref)[1]);
    clear(ref);
  } else {
    ref = makeCellRef(head.span, head.blockCount++);
  }
  head.liveBlocks++;
  liveCells_.fetch_add(1, std::memory_order_relaxed);
  if (!head.freeHead && head.blockCount == cellsPerSpan(cellBytes_)) unlink(head);
  return ref;
}

void CellSlab::free(CellRef ref) {
  unpublish(ref);
  SpinGuard guard(lock_);
  SpanHeader& head = table_.header(cellSpan(ref));
  bool wasFull = !head.freeHead && head.blockCount == cellsPerSpan(cellBytes_);
  words(ref)[1] = head.freeHead;
  head.freeHead = static_cast<uint16_t>(cellIndex(ref) + 1);
  head.liveBlocks--;
  liveCells_.fetch_sub(1, std::memory_order_relaxed);
  if (wasFull) link(head);
  if (head.liveBlocks == 0) {
    unlink(head);
    spanCount_.fetch_sub(1, std::memory_order_relaxed);
    table_.release(head.span, quota_);
  }
}

void CellSlab::adopt(SpanNumber span) {
  SpinGuard guard(lock_);
  SpanHeader& head = table_.header(span);
  head.list = 0;
  head.blockCount = static_cast<uint16_t>(cellsPerSpan(cellBytes_));
  head.liveBlocks = 0;
  head.freeHead = 0;
  for (uint32_t cell = head.blockCount; cell-- > 0;) {
    CellRef ref = makeCellRef(span, cell);
    if (!isFree(ref)) {
      head.liveBlocks++;
      continue;
    }
    words(ref)[1] = head.freeHead;
    head.freeHead = static_cast<uint16_t>(cell + 1);
  }
  if (head.liveBlocks == 0) {
    table_.release(span, quota_);
    return;
  }
  spanCount_.fetch_add(1, std::memory_order_relaxed);
  liveCells_.fetch_add(head.liveBlocks, std::memory_order_relaxed);
  if (head.freeHead) link(head);
}

}  // namespace tmemd
