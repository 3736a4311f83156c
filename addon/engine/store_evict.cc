// Eviction: whole spans of ephemeral pages, oldest first, of the guest whose
// spans divided by its weight are most. Only spans count as room, so a page
// whose neighbours stay is never dropped for nothing.
//
// A guest whose gate is closed is passed over, not forgotten: when nobody else has anything that yields, its
// place is noted, and who needs room waits for it once it is outside its own gate. Otherwise a guest
// could keep its pages from yielding by sending control requests. In the same way spans that do not
// yield because others are at work in them are waited for: else a put would be refused
// because another evicts the last of them, or has just begun to fill it with ephemeral pages.
#include <algorithm>
#include <array>

#include "engine/store_impl.h"

namespace tmemd {

namespace {

// Another guest's gate, if it is open.
bool enterOther(Gate& gate, bool background) { return background ? gate.tryEnterInBackground() : gate.tryEnter(); }
void leaveOther(Gate& gate, bool background) { background ? gate.leaveInBackground() : gate.leave(); }

}  // namespace

bool Store::Impl::evictForRoom(WorkerContext& context, Guest& requester) {
  bump(requester.evictionAttempts);
  const bool background = context.scratch().background;
  WorkerContext::Scratch::Awaited& awaited = context.scratch().awaited;
  awaited = {};
  std::array<uint32_t, kFruitlessGuests> fruitless;
  for (int passed = 0; passed < kFruitlessGuests; passed++) {
    Guest* most = nullptr;
    uint32_t mostPlace = 0;
    double mostShare = 0;
    uint32_t used = placesUsed.load(std::memory_order_acquire);
    for (uint32_t i = 0; i < used; i++) {
      if (std::find(fruitless.begin(), fruitless.begin() + passed, i) != fruitless.begin() + passed) continue;
      // The requester's own gate is entered already, and may be closing.
      bool own = i == requester.place;
      if (!own && !enterOther(places[i].gate, background)) {
        // Of several the one behind us, so that not all wait for the same.
        if (!awaited.closedPlace || *awaited.closedPlace < requester.place) awaited.closedPlace = i;
        continue;
      }
      Guest* guest = places[i].guest.get();
      if (guest && guest->ephemeralBin.spanCount() > 0) {
        double share = static_cast<double>(guest->ephemeralSpans()) / guest->weight.load(std::memory_order_relaxed);
        if (!most || share > mostShare) {
          if (most && most != &requester) leaveOther(places[mostPlace].gate, background);
          most = guest;
          mostPlace = i;
          mostShare = share;
          continue;  // its gate stays entered
        }
      }
      if (!own) leaveOther(places[i].gate, background);
    }
    if (!most) break;
    awaited.spansInUse = true;
    bool evicted = evictFrom(context, *most);
    if (most != &requester) leaveOther(places[mostPlace].gate, background);
    if (evicted) {
      awaited = {};
      return true;
    }
    fruitless[static_cast<size_t>(passed)] = mostPlace;
  }
  return false;
}

void Store::Impl::awaitRoom(WorkerContext& context) {
  const WorkerContext::Scratch& scratch = context.scratch();
  if (!scratch.awaited.closedPlace) return Backoff::nap();
  GuestPlace& at = places[*scratch.awaited.closedPlace];
  scratch.background ? at.gate.enterInBackground() : at.gate.enter();
  if (Guest* guest = at.guest.get()) evictFrom(context, *guest);
  leaveOther(at.gate, scratch.background);
}

bool Store::Impl::evictFrom(WorkerContext& context, Guest& victim) {
  std::vector<Bin::Victim>& victims = context.scratch().victims;
  for (int looked = 0; looked < kFruitlessSpans; looked++) {
    SpanNumber span = victim.ephemeralBin.beginEviction();
    if (!span) return false;
    uint32_t count = victim.ephemeralBin.listVictims(span, victims);
    bool any = false;
    for (uint32_t i = 0; i < count; i++) any |= evictPage(victim, victims[i]);
    // What is left of it goes behind the others, so the next is another.
    any |= victim.ephemeralBin.endEviction(span);
    if (any) return true;
  }
  return false;
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
  Pool* pool = guest.poolOf(object);
  SlotPlace at{&shard, guest.map.hashOf(object.poolTag - 1, object.oid), leaf.object, backLeaf(victim.owner),
               backSlot(victim.owner), victim.loc};
  clearSlot(guest, *pool, at);
  bump(pool->counters.evictedTotal);
  return true;
}

}  // namespace tmemd
