// How a bin gets its holes back: packing one span into a spare frame, and setting sparse
// spans apart so that their blocks are moved elsewhere.
#include "engine/bin.h"

#include <algorithm>
#include <cstring>

namespace tmemd {

// Copies the live blocks of a closed span together. False when a reader is in it
// or no spare is left. The header moves with the frame.
bool Bin::pack(SpanHeader*& head) {
  SpanNumber span = head->span;
  SpanNumber spare = table_.takeSpare();
  if (!spare) return false;
  if (!table_.tryExclusive(span)) {
    table_.returnSpare(spare);
    return false;
  }
  std::byte* from = table_.bytes(span);
  std::byte* to = table_.bytes(spare);
  std::memcpy(to, from, sizeof(SpanHeader));
  SpanHeader* packed = reinterpret_cast<SpanHeader*>(to);
  uint32_t end = sizeof(SpanHeader) / 8;
  uint32_t freeHead = 0;
  packed->blockCount = 0;
  for (uint32_t i = head->blockCount; i-- > 0;) {
    Entry e = SpanTable::entryAt(from, i).load(std::memory_order_relaxed);
    if (entryReferences(e) > 0) {
      uint32_t units = unitsFor(entryLength(e)) + prefixUnits();
      // Not memcpy: of a multiple of 8 gcc makes a string instruction, which is slow to start.
      std::memmove(to + end * 8, from + entryOffsetUnits(e) * 8, units * 8);
      e = withOffset(e, end);
      end += units;
      if (packed->blockCount == 0) packed->blockCount = static_cast<uint16_t>(i + 1);
    } else {
      if (packed->blockCount == 0) continue;  // free and retired entries at the end are dropped
      e = makeEntry(0, freeHead, 1, Codec::kLz4, 0);
      freeHead = i + 1;
    }
    SpanTable::entryAt(to, i).store(e, std::memory_order_relaxed);
  }
  packed->freeHead = static_cast<uint16_t>(freeHead);
  packed->dataEndUnits = static_cast<uint16_t>(end);
  // The spare held another span's bytes before.
  std::memset(to + end * 8, 0, tailBytes(*packed));
  table_.swapFrames(span, spare);
  table_.endExclusive(span);
  table_.returnSpare(spare);
  head = packed;
  return true;
}

// Packs a closed span in which `units` then fit, and opens it: the sparsest, which gives most for
// a copy.
SpanHeader* Bin::packOne(uint32_t units, bool anyThatFits) {
  if (kind_ == SpanKind::kEphemeral) {
    // Newest first, so that packing disturbs the order of age least.
    constexpr uint32_t kLook = 16;
    SpanNumber span = last_[0];
    for (uint32_t i = 0; span && (i < kLook || anyThatFits); i++) {
      SpanHeader* head = &table_.header(span);
      span = head->previous;
      if (freeBytes(*head) < kPackFreeBytes || !fitsPacked(*head, units)) continue;
      SpanNumber number = head->span;
      unlink(*head);
      if (pack(head)) {
        open(*head);
        return head;
      }
      link(table_.header(number), 0);
      return nullptr;
    }
    return nullptr;
  }
  constexpr int kPackTries = 4;
  int failures = 0;
  uint32_t last = anyThatFits ? 0 : kPackFreeBytes / (kSpanBytes / kLists);
  for (uint32_t list = kLists; list-- > last;) {
    SpanNumber span = first_[list];
    while (span) {
      SpanHeader* head = &table_.header(span);
      span = head->next;
      if (!fitsPacked(*head, units)) continue;
      unlink(*head);
      if (pack(head)) {
        open(*head);
        return head;
      }
      // Readers are in it, or others have the spares. The next may do; not all are tried.
      link(*head, static_cast<uint8_t>(list));
      if (++failures == kPackTries) return nullptr;
    }
  }
  return nullptr;
}

uint32_t Bin::beginDraining() {
  SpinGuard guard(lock_);
  uint64_t heldBytes = spanCount() * kSpanBytes;
  uint64_t deadBytes = heldBytes - sums_.liveUnits * 8;
  if (spanCount() <= 2 * kOpenSpans || deadBytes * kDeadShareToDrain < heldBytes) return 0;
  uint32_t count = 0;
  for (uint32_t list = kLists - 1; list >= kDrainListMin; list--) {
    while (SpanNumber span = first_[list]) {
      if (deadBytes * kDeadShareDrained < heldBytes) return count;
      SpanHeader& head = table_.header(span);
      deadBytes -= std::min<uint64_t>(deadBytes, freeBytes(head));
      unlink(head);
      link(head, kDraining);
      freeIfEmpty(head);  // one that a reader was in when it became empty
      count++;
    }
  }
  return count;
}

void Bin::endDraining() {
  SpinGuard guard(lock_);
  while (SpanNumber span = first_[kDraining]) {
    SpanHeader& head = table_.header(span);
    unlink(head);
    link(head, listFor(head));
    freeIfEmpty(head);
  }
}

bool Bin::isDraining(Loc loc) const {
  SpinGuard guard(lock_);
  // Whoever asks may know no more than that the block was there once.
  return table_.binOf(spanOf(loc)) == id_ && table_.header(spanOf(loc)).list == kDraining;
}

}  // namespace tmemd
