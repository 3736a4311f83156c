// Eviction: whole spans of ephemeral pages, oldest first, of the guest whose
// spans divided by its weight are most. Only spans count as room, so a page
// whose neighbours stay is never dropped for nothing.
#include "engine/store_impl.h"

namespace tmemd {

bool Store::Impl::evictForRoom(WorkerContext& context, Guest& requester) {
  bump(requester.evictionAttempts);
  Guest* most = nullptr;
  uint32_t mostPlace = 0;
  double mostShare = 0;
  uint32_t used = placesUsed.load(std::memory_order_acquire);
  for (uint32_t i = 0; i < used; i++) {
    // The requester's own gate is entered already, and may be closing.
    bool own = i == requester.place;
    if (!own && !places[i].gate.tryEnter()) continue;
    Guest* guest = places[i].guest.get();
    if (guest && guest->ephemeralBin.spanCount() > 0) {
      double share = static_cast<double>(guest->ephemeralSpans()) / guest->weight.load(std::memory_order_relaxed);
      if (!most || share > mostShare) {
        if (most && most != &requester) places[mostPlace].gate.leave();
        most = guest;
        mostPlace = i;
        mostShare = share;
        continue;  // its gate stays entered
      }
    }
    if (!own) places[i].gate.leave();
  }
  if (!most) return false;
  bool evicted = evictFrom(context, *most);
  if (most != &requester) places[mostPlace].gate.leave();
  return evicted;
}

bool Store::Impl::evictFrom(WorkerContext& context, Guest& victim) {
  SpanNumber span = victim.ephemeralBin.beginEviction();
  if (!span) return false;
  std::vector<Bin::Victim>& victims = context.scratch().victims;
  uint32_t count = victim.ephemeralBin.listVictims(span, victims);
  bool any = false;
  for (uint32_t i = 0; i < count; i++) any |= evictPage(victim, victims[i]);
  victim.ephemeralBin.endEviction(span);
  return any;
}

bool Store::Impl::evictPage(Guest& guest, Bin::Victim victim) {
  PageMap::Shard& shard = guest.map.shard(backShard(victim.owner));
  SpinGuard guard(shard.lock);
  // A block that is still there under the lock is still named by its slot, so the
  // cells its back reference names are those of its key.
  if (!guest.ephemeralBin.isStill(victim)) return false;
  Leaf& leaf = shard.leaf(backLeaf(victim.owner));
  if (leaf.slot[backSlot(victim.owner)] != victim.loc) return false;
  Object& object = shard.object(leaf.object);
  Pool* pool = guest.pool(object.poolTag - 1);
  SlotPlace at{&shard, guest.map.hashOf(object.poolTag - 1, object.oid), leaf.object, backLeaf(victim.owner),
               backSlot(victim.owner), victim.loc};
  clearSlot(guest, *pool, at);
  bump(pool->counters.evictedTotal);
  return true;
}

}  // namespace tmemd
