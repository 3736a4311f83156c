#include "engine/bin.h"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace tmemd {

Bin::~Bin() {
  // Only spans a reader had pinned when they became empty are left. No slot names them, so
  // no other reader comes, and those there are stay for one page.
  while (open_[0]) close(0);
  Backoff backoff;
  while (spanCount() > 0) {
    reapIdle();
    backoff.wait();
  }
}

uint32_t Bin::tailBytes(const SpanHeader& head) {
  return kSpanBytes - head.blockCount * sizeof(Entry) - head.dataEndUnits * 8u;
}

uint32_t Bin::freeBytes(const SpanHeader& head) {
  return kSpanDataBytes - head.blockCount * sizeof(Entry) - head.liveUnits * 8u;
}

bool Bin::fitsTail(const SpanHeader& head, uint32_t units) const {
  uint32_t newEntry = head.freeHead ? 0 : 1;
  return head.blockCount + newEntry <= entriesMax() && units * 8 + newEntry * sizeof(Entry) <= tailBytes(head);
}

// Packing frees what is retired, too.
bool Bin::fitsPacked(const SpanHeader& head, uint32_t units) const {
  uint32_t newEntry = head.liveBlocks < head.blockCount ? 0 : 1;
  return head.blockCount + newEntry <= entriesMax() && units * 8 + newEntry * sizeof(Entry) <= freeBytes(head);
}

uint8_t Bin::listFor(const SpanHeader& head) const {
  if (kind_ == SpanKind::kEphemeral) return 0;
  bool outOfEntries = head.liveBlocks == head.blockCount && head.blockCount == entriesMax();
  return outOfEntries ? 0 : static_cast<uint8_t>(freeBytes(head) / (kSpanBytes / kLists));
}

void Bin::link(SpanHeader& head, uint8_t list) {
  head.list = list;
  head.next = 0;
  head.previous = last_[list];
  (last_[list] ? table_.header(last_[list]).next : first_[list]) = head.span;
  last_[list] = head.span;
}

void Bin::unlink(SpanHeader& head) {
  (head.previous ? table_.header(head.previous).next : first_[head.list]) = head.next;
  (head.next ? table_.header(head.next).previous : last_[head.list]) = head.previous;
  head.list = kOnNoList;
}

void Bin::close(uint32_t position) {
  SpanHeader& head = table_.header(open_[position]);
  for (uint32_t i = position; i + 1 < kOpenSpans; i++) open_[i] = open_[i + 1];
  open_[kOpenSpans - 1] = 0;
  link(head, listFor(head));
  freeIfEmpty(head);
}

void Bin::open(SpanHeader& head) {
  if (open_[kOpenSpans - 1]) {
    uint32_t fullest = 0;
    for (uint32_t i = 1; i < kOpenSpans; i++) {
      if (tailBytes(table_.header(open_[i])) < tailBytes(table_.header(open_[fullest]))) fullest = i;
    }
    close(fullest);
  }
  head.list = kOnNoList;
  uint32_t count = 0;
  while (open_[count]) count++;
  for (; count > 0; count--) open_[count] = open_[count - 1];
  open_[0] = head.span;
}

// The tail that is left smallest, among those left behind; else the newest.
SpanHeader* Bin::findOpen(uint32_t units) {
  SpanHeader* best = nullptr;
  for (SpanNumber span : open_) {
    if (!span) break;
    SpanHeader& head = table_.header(span);
    if (fitsTail(head, units) && (!best || tailBytes(head) < tailBytes(*best))) best = &head;
  }
  return best;
}

SpanHeader* Bin::roomFor(uint32_t units) {
  if (SpanHeader* head = findOpen(units)) return head;
  uint64_t closedBytes = spanCount() * kSpanBytes;
  uint64_t closedUnits = sums_.liveUnits;
  for (SpanNumber span : open_) {
    if (!span) break;
    closedBytes -= kSpanBytes;
    closedUnits -= table_.header(span).liveUnits;
  }
  if (closedBytes - closedUnits * 8 > closedBytes / kDeadShareToPack) {
    if (SpanHeader* head = packOne(units, false)) return head;
  }
  if (SpanHeader* head = takeFresh()) return head;
  // Open spans may have holes too, or be empty.
  while (open_[0]) close(0);
  if (SpanHeader* head = packOne(units, true)) return head;
  return takeFresh();
}

SpanHeader* Bin::takeFresh() {
  // Counted before it is ours and until it is not, so that who needs room never sees it nowhere.
  spanCount_.fetch_add(1, std::memory_order_relaxed);
  SpanNumber span = table_.take(kind_, id_, quota_);
  if (!span) {
    spanCount_.fetch_sub(1, std::memory_order_relaxed);
    return nullptr;
  }
  SpanHeader& head = table_.header(span);
  open(head);
  return &head;
}

void Bin::Sums::count(Entry entry, uint32_t units, int64_t sign) {
  uint64_t by = static_cast<uint64_t>(sign);
  blocks += by;
  if (entryCodec(entry) == Codec::kPlain) (entryLength(entry) == 8 ? fillBlocks : rawBlocks) += by;
  references += by * entryReferences(entry);
  dataBytes += by * entryLength(entry);
  extraReferenceBytes += by * (entryReferences(entry) - 1) * entryLength(entry);
  liveUnits += by * units;
}

Loc Bin::store(const EncodedPage& page) {
  uint32_t units = unitsFor(page.lengthBytes) + prefixUnits();
  SpanNumber span;
  uint32_t index;
  uint32_t offset;
  Entry entry;
  {
    SpinGuard guard(lock_);
    SpanHeader* head = roomFor(units);
    if (!head) return 0;
    span = head->span;
    if (head->freeHead) {
      index = head->freeHead - 1u;
      head->freeHead = static_cast<uint16_t>(
          entryOffsetUnits(table_.entry(span, index).load(std::memory_order_relaxed)));
    } else {
      index = head->blockCount++;
    }
    offset = head->dataEndUnits;
    head->dataEndUnits = static_cast<uint16_t>(offset + units);
    head->liveUnits = static_cast<uint16_t>(head->liveUnits + units);
    head->liveBlocks++;
    liveBlocks_.fetch_add(1, std::memory_order_relaxed);
    entry = makeEntry(page.checksum, offset, page.lengthBytes, page.codec, 1);
    sums_.count(entry, units, 1);
    // Neither free for others to take nor referenced until the bytes are in, and
    // nobody packs the span until then. The lock keeps packers away now.
    table_.entry(span, index).store(makeEntry(0, 0, 1, Codec::kLz4, 0), std::memory_order_relaxed);
    table_.pin(span);
    nextRoom_.store(table_.bytes(span) + (offset + units) * 8, std::memory_order_relaxed);
  }
  std::byte* to = table_.bytes(span) + offset * 8;
  if (kind_ == SpanKind::kEphemeral) {
    std::atomic_ref<BackReference>(*reinterpret_cast<BackReference*>(to)).store(0, std::memory_order_relaxed);
    to += sizeof(BackReference);
  }
  schedulingPoint();
  std::memcpy(to, page.bytes, page.lengthBytes);
  // release pairs with the acquire in tryShare().
  table_.entry(span, index).store(entry, std::memory_order_release);
  table_.unpin(span);
  return makeLoc(span, index);
}

void Bin::adopt(SpanNumber span, std::span<const uint8_t> counts) {
  if (counts.empty()) {
    table_.release(span, quota_);
    return;
  }
  SpinGuard guard(lock_);
  SpanHeader& head = table_.header(span);
  uint32_t end = sizeof(SpanHeader) / 8;
  uint32_t liveUnits = 0;
  uint32_t liveBlocks = 0;
  uint32_t freeHead = 0;
  for (uint32_t i = static_cast<uint32_t>(counts.size()); i-- > 0;) {
    auto entry = table_.entry(span, i);
    if (counts[i] == 0) {
      entry.store(makeEntry(0, freeHead, 1, Codec::kLz4, 0), std::memory_order_relaxed);
      freeHead = i + 1;
      continue;
    }
    Entry e = withReferences(entry.load(std::memory_order_relaxed), counts[i]);
    entry.store(e, std::memory_order_relaxed);
    uint32_t units = unitsFor(entryLength(e)) + prefixUnits();
    end = std::max(end, entryOffsetUnits(e) + units);
    liveUnits += units;
    liveBlocks++;
    sums_.count(e, units, 1);
  }
  head.blockCount = static_cast<uint16_t>(counts.size());
  head.dataEndUnits = static_cast<uint16_t>(end);
  head.liveUnits = static_cast<uint16_t>(liveUnits);
  head.liveBlocks = static_cast<uint16_t>(liveBlocks);
  head.freeHead = static_cast<uint16_t>(freeHead);
  spanCount_.fetch_add(1, std::memory_order_relaxed);
  liveBlocks_.fetch_add(liveBlocks, std::memory_order_relaxed);
  link(head, listFor(head));
}

bool Bin::tryShare(Loc loc, bool* saturated) {
  *saturated = false;
  SpinGuard guard(lock_);
  SpanNumber span = spanOf(loc);
  if (span >= table_.spanCount() || table_.binOf(span) != id_) return false;
  if (tmemd::entryOf(loc) >= table_.header(span).blockCount) return false;
  auto entry = table_.entry(span, tmemd::entryOf(loc));
  Entry e = entry.load(std::memory_order_acquire);
  if (entryReferences(e) == 0) return false;
  if (entryReferences(e) == kMaxReferences) {
    *saturated = true;
    return false;
  }
  entry.store(e + 1, std::memory_order_relaxed);
  sums_.references++;
  sums_.extraReferenceBytes += entryLength(e);
  return true;
}

bool Bin::holds(Loc loc) const {
  SpinGuard guard(lock_);
  SpanNumber span = spanOf(loc);
  // The cells of a guest have its bin's number, and are not under this lock.
  return table_.kindOf(span) == kind_ && table_.binOf(span) == id_ &&
         tmemd::entryOf(loc) < table_.header(span).blockCount && entryReferences(entryOf(loc)) > 0;
}

Bin::Released Bin::unref(Loc loc) {
  SpinGuard guard(lock_);
  return unrefLocked(loc);
}

Bin::Released Bin::unrefLocked(Loc loc) {
  SpanNumber span = spanOf(loc);
  uint32_t index = tmemd::entryOf(loc);
  auto entry = table_.entry(span, index);
  Entry e = entry.load(std::memory_order_relaxed);
  assert(entryReferences(e) > 0);
  Released released{entryLength(e), entryCodec(e), entryReferences(e) == 1};
  if (!released.wasLast) {
    entry.store(e - 1, std::memory_order_relaxed);
    sums_.references--;
    sums_.extraReferenceBytes -= entryLength(e);
    return released;
  }
  SpanHeader& head = table_.header(span);
  uint32_t units = unitsFor(entryLength(e)) + prefixUnits();
  if (table_.isPinned(span)) {
    entry.store(withReferences(e, 0), std::memory_order_relaxed);  // retired
  } else {
    entry.store(makeEntry(0, head.freeHead, 1, Codec::kLz4, 0), std::memory_order_relaxed);
    head.freeHead = static_cast<uint16_t>(index + 1);
  }
  head.liveUnits = static_cast<uint16_t>(head.liveUnits - units);
  head.liveBlocks--;
  sums_.count(e, units, -1);
  liveBlocks_.fetch_sub(1, std::memory_order_relaxed);
  if (head.list <= kDraining) {
    uint8_t list = head.list == kDraining ? kDraining : listFor(head);
    if (list != head.list) {
      unlink(head);
      link(head, list);
    }
    freeIfEmpty(head);
  }
  return released;
}

void Bin::setBackReference(Loc loc, BackReference reference) {
  table_.pin(spanOf(loc));
  std::byte* at = table_.bytes(spanOf(loc)) + entryOffsetUnits(entryOf(loc)) * 8;
  std::atomic_ref<BackReference>(*reinterpret_cast<BackReference*>(at)).store(reference, std::memory_order_relaxed);
  table_.unpin(spanOf(loc));
}

// Of a closed span on a list. One with a reader in it stays, and is packed or
// reaped later.
bool Bin::freeIfEmpty(SpanHeader& head) {
  if (head.liveBlocks > 0 || !table_.tryExclusive(head.span)) return false;
  unlink(head);
  table_.release(head.span, quota_);
  spanCount_.fetch_sub(1, std::memory_order_relaxed);
  return true;
}

void Bin::reapIdle() {
  SpinGuard guard(lock_);
  for (uint32_t list = 0; list <= kDraining; list++) {
    for (SpanNumber span = first_[list]; span;) {
      SpanHeader& head = table_.header(span);
      span = head.next;
      freeIfEmpty(head);
    }
  }
}

}  // namespace tmemd
