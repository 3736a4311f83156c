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

CellRef CellSlab::allocate() {
  SpinGuard guard(lock_);
  if (!partial_) {
    SpanNumber span = table_.take(kind_, owner_, quota_);
    if (!span) return 0;
    spanCount_.fetch_add(1, std::memory_order_relaxed);
    link(table_.header(span));
  }
  SpanHeader& head = table_.header(partial_);
  CellRef ref;
  if (head.freeHead) {
    ref = makeCellRef(head.span, head.freeHead - 1u);
    head.freeHead = static_cast<uint16_t>(words(ref)[1]);
    std::memset(words(ref), 0, cellBytes_);
  } else {
    ref = makeCellRef(head.span, head.blockCount++);
  }
  head.liveBlocks++;
  liveCells_.fetch_add(1, std::memory_order_relaxed);
  if (!head.freeHead && head.blockCount == cellsPerSpan(cellBytes_)) unlink(head);
  return ref;
}

void CellSlab::free(CellRef ref) {
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
    uint32_t* at = words(makeCellRef(span, cell));
    if (at[0] != 0) {
      head.liveBlocks++;
      continue;
    }
    at[1] = head.freeHead;
    head.freeHead = static_cast<uint16_t>(cell + 1);
  }
  table_.adopt(quota_);
  if (head.liveBlocks == 0) {
    table_.release(span, quota_);
    return;
  }
  spanCount_.fetch_add(1, std::memory_order_relaxed);
  liveCells_.fetch_add(head.liveBlocks, std::memory_order_relaxed);
  if (head.freeHead) link(head);
}

}  // namespace tmemd
