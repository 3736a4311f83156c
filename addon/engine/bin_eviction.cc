// How an ephemeral bin's oldest span is taken apart for room.
#include "engine/bin.h"

namespace tmemd {

SpanNumber Bin::beginEviction() {
  SpinGuard guard(lock_);
  // One that is empty stays on the list while a reader is in it, and gives no room.
  SpanNumber oldest = first_[0];
  while (oldest && table_.header(oldest).liveBlocks == 0) oldest = table_.header(oldest).next;
  uint32_t count = 0;
  while (count < kOpenSpans && open_[count]) count++;
  for (; !oldest && count > 0; count--) {
    bool holdsBlocks = table_.header(open_[count - 1]).liveBlocks > 0;
    close(count - 1);
    if (holdsBlocks) oldest = last_[0];
  }
  if (!oldest) return 0;
  SpanHeader& head = table_.header(oldest);
  unlink(head);
  head.list = kBeingEvicted;
  return oldest;
}

uint32_t Bin::listVictims(SpanNumber span, std::span<Victim> victims) {
  SpinGuard guard(lock_);
  SpanHeader& head = table_.header(span);
  std::byte* base = table_.bytes(span);
  uint32_t count = 0;
  for (uint32_t i = 0; i < head.blockCount && count < victims.size(); i++) {
    Entry e = SpanTable::entryAt(base, i).load(std::memory_order_relaxed);
    if (entryReferences(e) == 0) continue;
    std::byte* at = base + entryOffsetUnits(e) * 8;
    BackReference owner =
        std::atomic_ref<BackReference>(*reinterpret_cast<BackReference*>(at)).load(std::memory_order_relaxed);
    if (owner) victims[count++] = {makeLoc(span, i), owner};
  }
  return count;
}

bool Bin::isStill(const Victim& victim) {
  SpinGuard guard(lock_);
  SpanNumber span = spanOf(victim.loc);
  Entry e = entryOf(victim.loc);
  if (entryReferences(e) == 0) return false;
  std::byte* at = table_.bytes(span) + entryOffsetUnits(e) * 8;
  return std::atomic_ref<BackReference>(*reinterpret_cast<BackReference*>(at)).load(std::memory_order_relaxed) ==
         victim.owner;
}

bool Bin::endEviction(SpanNumber span) {
  SpinGuard guard(lock_);
  SpanHeader& head = table_.header(span);
  link(head, 0);
  return freeIfEmpty(head);
}

}  // namespace tmemd
