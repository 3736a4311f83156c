// put: keep the page's bytes first, with no lock held (store_keep.cc), then publish them under
// the key in one store. A page that cannot be kept leaves the key empty.
//
// Eviction work is bounded: kEvictionsPerPut spans for the bytes and as many for the cells of a page, and
// again for each of the kWaitsPerPut waits that all pages of a persistent put have together.
#include <array>
#include <cassert>

#include "engine/store_impl.h"

namespace tmemd {

Store::PutResult Store::put(WorkerContext& context, GuestId guestId, const PageKey& key, uint32_t pageCount) {
  assert(pageCount >= 1 && pageCount <= kPutPagesMax);
  Impl::GuestPlace* at = impl_->place(guestId);
  PutResult result;
  WorkerContext::Scratch& scratch = context.scratch();
  scratch.awaited = {};
  for (int waits = 0;; waits++) {
    {
      GateEntry entry(at->gate);
      Guest* guest = Impl::guestIn(*at, guestId);
      result.status = Status::kNoSession;
      if (!guest || !guest->sessionId) return result;
      result.status = Status::kNoPool;
      Pool* pool = guest->pool(key.pool);
      if (!pool) return result;
      scratch.mayWait = pool->persistent && waits < Impl::kWaitsPerPut;  // an ephemeral one may be refused at any time
      result = impl_->putPages(context, *guest, *pool, key, result.donePages, pageCount);
    }
    // Room there is only where others are at work, for microseconds; and nobody waits for us now.
    if (!scratch.awaited) return result;
    impl_->awaitRoom(context);
  }
}

Store::PutResult Store::Impl::putPages(WorkerContext& context, Guest& guest, Pool& pool, PageKey key, uint32_t first,
                                       uint32_t pageCount) {
  std::array<PutInHand, kPutPagesMax> inHand;
  std::span<PutInHand> pages(inHand.data() + first, pageCount - first);
  for (uint32_t i = first; i < pageCount; i++) inHand[i].page = context.page(i);
  if (pages.size() > 1 && pool.persistent) lookAhead(guest, pages);
  PutResult result{Status::kOk, first};
  for (key.index += first; result.donePages < pageCount; result.donePages++, key.index++) {
    std::optional<Status> status = putPage(context, guest, pool, key, inHand[result.donePages]);
    if (!status) break;
    result.status = *status;
    if (result.status != Status::kOk) break;
  }
  for (PutInHand& hand : pages) letGo(hand);
  return result;
}

std::optional<Status> Store::Impl::putPage(WorkerContext& context, Guest& guest, Pool& pool, const PageKey& key,
                                           PutInHand& hand) {
  if (guest.nearLimits(pool.persistent)) {
    // Decided for good in publish(); asked before the page is encoded for nothing.
    uint64_t objectHash = guest.map.hashOf(key.pool, key.object.word);
    PageMap::Shard& shard = guest.map.shard(PageMap::shardOf(objectHash));
    Refusal refusal;
    {
      SpinGuard guard(shard.lock);
      uint64_t added = find(shard, objectHash, key).value == kEmptySlot;
      refusal = guest.admits(pool.persistent, guest.persistentPages.load(std::memory_order_relaxed) + added,
                             guest.pages.load(std::memory_order_relaxed) + added);
    }
    if (refusal != Refusal::kNone && refusal != Refusal::kCap) return refuse(guest, pool, key, refusal);
  }
  KeptPage page = keepPage(context, guest, pool.persistent, hand);
  bool replaced = false;
  Refusal refusal =
      page.value == kEmptySlot ? Refusal::kCapacity : publish(context, guest, pool, key, page, &replaced);
  if (refusal != Refusal::kNone) {
    WorkerContext::Scratch& scratch = context.scratch();
    if (refusal == Refusal::kCapacity && scratch.awaited && scratch.mayWait) return std::nullopt;
    scratch.awaited = {};
    return refuse(guest, pool, key, refusal);
  }
  context.scratch().awaited = {};
  bump(pool.counters.putsTotal);
  bump(pool.counters.putsGoodTotal);
  if (replaced) bump(pool.counters.putsReplacedTotal);
  return Status::kOk;
}

Status Store::Impl::refuse(Guest& guest, Pool& pool, const PageKey& key, Refusal why) {
  bump(pool.counters.putsTotal);
  switch (why) {
    case Refusal::kNone:
      break;
    case Refusal::kCapacity:
      bump(pool.counters.putsRefusedCapacityTotal);
      break;
    case Refusal::kLimit:
      bump(pool.counters.putsRefusedLimitTotal);
      break;
    case Refusal::kCap:
      bump(pool.counters.putsRefusedCapTotal);
      break;
    case Refusal::kFrozen:
      bump(pool.counters.putsRefusedFrozenTotal);
      break;
  }
  uint64_t objectHash = guest.map.hashOf(key.pool, key.object.word);
  PageMap::Shard& shard = guest.map.shard(PageMap::shardOf(objectHash));
  SpinGuard guard(shard.lock);
  SlotPlace place = find(shard, objectHash, key);
  if (place.value != kEmptySlot) {
    clearSlot(guest, pool, place);
    bump(pool.counters.putsDroppedTotal);
  }
  return Status::kRefused;
}

Store::Impl::SlotPlace Store::Impl::find(PageMap::Shard& shard, uint64_t objectHash, const PageKey& key) const {
  SlotPlace at{&shard, objectHash, 0, 0, key.index % kLeafSlots, kEmptySlot};
  uint32_t number = key.index / kLeafSlots;
  // Name and slot of a leaf are lines apart: fetched at once, not one after the other.
  if (const Leaf* leaf = shard.likelyLeaf(objectHash, number)) __builtin_prefetch(&leaf->slot[at.slot]);
  at.leaf = shard.findLeaf(objectHash, key.pool, key.object.word, number);
  if (at.leaf) {
    at.object = shard.leaf(at.leaf).object;
    at.value = shard.leaf(at.leaf).slot[at.slot];
  } else {
    at.object = shard.findObject(objectHash, key.pool, key.object.word);
  }
  return at;
}

// Makes the page what the key holds, or releases it and says why not.
Refusal Store::Impl::publish(WorkerContext& context, Guest& guest, Pool& pool, const PageKey& key,
                             const KeptPage& page, bool* replaced) {
  uint64_t objectHash = guest.map.hashOf(key.pool, key.object.word);
  int evictionsLeft = kEvictionsPerPut;
  for (;;) {
    Refusal refusal = tryPublish(guest, pool, key, objectHash, page, evictionsLeft > 0, replaced);
    if (refusal == Refusal::kNone) return refusal;
    if (evictionsLeft == 0 || refusal == Refusal::kFrozen || refusal == Refusal::kLimit) {
      // Never published, so never counted among the guest's pages.
      if (isBlock(page.value)) binOf(page.value).unref(page.value & ~kSharedBit);
      return refusal;
    }
    bool evicted = refusal == Refusal::kCap ? evictFrom(context, guest) : evictForRoom(context, guest);
    evictionsLeft = evicted ? evictionsLeft - 1 : 0;
    if (evicted && evictionsLeft == 0) context.scratch().awaited.spansInUse = true;
  }
}

// One attempt. While `mayEvict`, a put inside the reserve that exceeds the cap asks
// for ephemeral pages to go first.
Refusal Store::Impl::tryPublish(Guest& guest, Pool& pool, const PageKey& key, uint64_t objectHash,
                                const KeptPage& page, bool mayEvict, bool* replaced) {
  PageMap::Shard& shard = guest.map.shard(PageMap::shardOf(objectHash));
  SpinGuard guard(shard.lock);
  SlotPlace at = find(shard, objectHash, key);
  *replaced = at.value != kEmptySlot;
  // Raised before they are looked at, so that two threads cannot both take the last place.
  uint64_t added = *replaced ? 0 : 1;
  std::atomic<uint64_t>& held = guest.pagesOf(pool.persistent);
  uint64_t heldAfter = held.fetch_add(added, std::memory_order_relaxed) + added;
  uint64_t totalAfter = guest.pages.fetch_add(added, std::memory_order_relaxed) + added;
  Refusal refusal = guest.admits(pool.persistent, heldAfter, totalAfter);
  uint64_t cap = guest.capPages.load(std::memory_order_relaxed);
  if (refusal == Refusal::kNone && mayEvict && cap && totalAfter > cap &&
      guest.ephemeralPages.load(std::memory_order_relaxed) > 0) {
    refusal = Refusal::kCap;
  }
  if (refusal == Refusal::kNone && !makePlace(guest, pool, key, at, mayEvict)) refusal = Refusal::kCapacity;
  if (refusal != Refusal::kNone) {
    held.fetch_sub(added, std::memory_order_relaxed);
    guest.pages.fetch_sub(added, std::memory_order_relaxed);
    return refusal;
  }
  if (!pool.persistent) {
    guest.ephemeralBin.setBackReference(page.value, makeBackReference(at.leaf, PageMap::shardOf(objectHash), at.slot));
  }
  Leaf& leaf = shard.leaf(at.leaf);
  leaf.touched = round.load(std::memory_order_relaxed);
  leaf.settled = 0;
  setSlot(leaf, at.slot, page.value);
  countKept(guest, pool, page);
  if (*replaced) {
    releaseValue(guest, pool, at.value);
  } else {
    shard.object(at.object).pages++;
    raise(pool.counters.pages, pool.counters.pagesMax);
    keepHighest(guest.pagesMax, totalAfter);
  }
  return Refusal::kNone;
}

// The object and leaf of a key; false, with nothing changed, when cells ran out, or while `mayEvict`
// when the chains to find them by are long.
bool Store::Impl::makePlace(Guest& guest, Pool& pool, const PageKey& key, SlotPlace& at, bool mayEvict) {
  if (at.leaf) return true;
  if (!at.shard->makeRoom() && mayEvict) return false;
  PageMap::Slabs slabs = guest.slabs(pool.persistent);
  bool newObject = !at.object;
  if (newObject) at.object = at.shard->makeObject(at.objectHash, key.pool, key.object.word, slabs);
  if (!at.object) return false;
  at.leaf = at.shard->makeLeaf(at.objectHash, at.object, key.index / kLeafSlots, slabs);
  if (!at.leaf) {
    if (newObject) at.shard->removeObject(at.objectHash, at.object, slabs);
    return false;
  }
  if (newObject) {
    raise(pool.counters.objects, pool.counters.objectsMax);
    raise(guest.objects, guest.objectsMax);
  }
  return true;
}

}  // namespace tmemd
