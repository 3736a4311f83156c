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
    for (uint32_t i = 0; span && i < (anyThatFits ? kPackLooks : kLook); i++) {
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
  uint32_t looks = 0;
  uint32_t last = (anyThatFits ? units * 8 : kPackFreeBytes) / (kSpanBytes / kLists);
  // Those that are being drained are kept for when there is nothing else, and then come first.
  for (uint32_t list = anyThatFits ? kLists + 1 : kLists; list-- > last;) {
    const SpanNumber end = last_[list];  // what is put back goes behind it
    for (SpanNumber span = first_[list], next; span; span = next) {
      SpanHeader* head = &table_.header(span);
      next = span == end ? 0 : head->next;
      if (!fitsPacked(*head, units)) {
        if (++looks == kPackLooks) break;
        unlink(*head);
        link(*head, static_cast<uint8_t>(list));
        continue;
      }
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

bool Bin::beginDraining(Draining& soFar) {
  SpinGuard guard(lock_);
  uint64_t heldBytes = spanCount() * kSpanBytes;
  uint64_t deadBytes = deadBytesLocked();
  deadBytes -= std::min(deadBytes, soFar.freeBytes);
  uint64_t share = soFar.spans == 0 ? kDeadShareToDrain : kDeadShareDrained;
  if (spanCount() <= 2 * kOpenSpans || deadBytes * share < heldBytes) return false;
  uint32_t steps = 0;
  for (uint32_t list = kLists - 1; list >= kDrainListMin; list--) {
    while (SpanNumber span = first_[list]) {
      if (deadBytes * kDeadShareDrained < heldBytes || soFar.spans == kDrainedAtOnce) return false;
      if (steps++ == kSpansPerDrainStep) return true;
      SpanHeader& head = table_.header(span);
      uint64_t freeHere = std::min<uint64_t>(deadBytes, freeBytes(head));
      deadBytes -= freeHere;
      soFar.freeBytes += freeHere;
      soFar.spans++;
      unlink(head);
      link(head, kDraining);
      freeIfEmpty(head);  // one that a reader was in when it became empty
    }
  }
  return false;
}

uint32_t Bin::endDraining() {
  SpinGuard guard(lock_);
  uint32_t returned = 0;
  for (; first_[kDraining] && returned < kSpansPerDrainStep; returned++) {
    SpanHeader& head = table_.header(first_[kDraining]);
    unlink(head);
    link(head, listFor(head));
    freeIfEmpty(head);
  }
  return returned;
}

bool Bin::isDraining(Loc loc) const {
  SpinGuard guard(lock_);
  // Whoever asks may know no more than that the block was there once.
  return table_.binOf(spanOf(loc)) == id_ && table_.header(spanOf(loc)).list == kDraining;
}

// One aligned store, and the checksum is that of every form of LZ4: so the block is whole
// whenever the process is killed.
void Bin::markTried(Loc loc, Entry seen, Codec codec) {
  SpinGuard guard(lock_);
  auto entry = table_.entry(spanOf(loc), tmemd::entryOf(loc));
  Entry e = entry.load(std::memory_order_relaxed);
  bool same = entryReferences(e) > 0 && withReferences(e, 0) == withReferences(seen, 0);
  if (same && isLz4(entryCodec(e))) entry.store(withCodec(e, codec), std::memory_order_relaxed);
}

}  // namespace tmemd
