// flush: of a range or a whole object, a leaf at a time, so that the shard's
// lock is held for at most 64 pages and work is bounded by what is there. A flush of very many
// pages leaves its gate, and enters again, when a control operation waits for it.
#include <algorithm>
#include <array>

#include "engine/store_impl.h"

namespace tmemd {

// `counted(counters, found before)` after each step.
template <typename Counted>
Status Store::Impl::flushInSteps(GuestId guestId, PoolId poolId, FlushInHand& hand, Counted counted) {
  GuestPlace* at = place(guestId);
  uint64_t session = 0;
  do {
    GateEntry entry(at->gate);
    Guest* guest = guestIn(*at, guestId);
    if (!guest || !guest->sessionId) return Status::kNoSession;
    Pool* pool = guest->pool(poolId);
    // Gone since it began, and its pages with it.
    if (session != 0 && (session != guest->sessionId || !pool)) return Status::kOk;
    if (!pool) return Status::kNoPool;
    if (hand.key.index >= hand.end || hand.end > uint64_t{1} << 32) return Status::kBadRequest;
    session = guest->sessionId;
    const uint64_t before = hand.found;
    flushRange(at->gate, *guest, *pool, hand);
    counted(pool->counters, before);
  } while (!hand.done);
  return Status::kOk;
}

Status Store::flush(WorkerContext&, GuestId guestId, const PageKey& key, uint64_t pageCount) {
  Impl::FlushInHand hand;
  hand.key = key;
  hand.end = pageCount > uint64_t{1} << 32 ? UINT64_MAX : key.index + pageCount;
  bool begun = false;
  return impl_->flushInSteps(guestId, key.pool, hand, [&](AtomicOperationCounters& counters, uint64_t before) {
    if (!begun) bump(counters.flushesTotal);
    begun = true;
    bump(counters.flushesFoundTotal, hand.found - before);
  });
}

Status Store::flushObject(WorkerContext&, GuestId guestId, PoolId poolId, const ObjectId& object) {
  Impl::FlushInHand hand;
  hand.key = {poolId, object, 0};
  hand.end = uint64_t{1} << 32;
  bool begun = false;
  return impl_->flushInSteps(guestId, poolId, hand, [&](AtomicOperationCounters& counters, uint64_t before) {
    if (!begun) bump(counters.objectFlushesTotal);
    begun = true;
    bump(counters.objectFlushesFoundTotal, before == 0 && hand.found > 0);
  });
}

void Store::Impl::flushRange(Gate& gate, Guest& guest, Pool& pool, FlushInHand& hand) {
  const PageKey& key = hand.key;
  const uint64_t objectHash = guest.map.hashOf(key.pool, key.object.word);
  PageMap::Shard& shard = guest.map.shard(PageMap::shardOf(objectHash));
  const uint32_t firstLeaf = key.index / kLeafSlots;
  const uint32_t lastLeaf = static_cast<uint32_t>((hand.end - 1) / kLeafSlots);
  auto flushOne = [&](uint32_t number) {
    uint64_t leafStart = uint64_t{number} * kLeafSlots;
    uint32_t from = static_cast<uint32_t>(std::max<uint64_t>(key.index, leafStart) - leafStart);
    uint32_t to = static_cast<uint32_t>(std::min<uint64_t>(hand.end, leafStart + kLeafSlots) - leafStart);
    hand.found += flushLeaf(guest, pool, shard, objectHash, key, number, from, to);
  };
  if (firstLeaf == lastLeaf) {
    flushOne(firstLeaf);
    hand.done = true;
    return;
  }
  do {
    if (hand.way == FlushInHand::Way::kUnknown || hand.way == FlushInHand::Way::kList) {
      chooseLeaves(pool, shard, objectHash, hand, firstLeaf, lastLeaf);
      continue;
    }
    if (hand.way == FlushInHand::Way::kByRange) {
      flushOne(static_cast<uint32_t>(firstLeaf + hand.next));
      hand.done = firstLeaf + ++hand.next > lastLeaf;
    } else {
      if (hand.next < hand.numbers.size()) flushOne(hand.numbers[hand.next]);
      hand.done = ++hand.next >= hand.numbers.size();
    }
  } while (!hand.done && !gate.closing());
}

// The leaves to visit: those of the range, or if the object has fewer, its own, whose numbers are listed
// some at a time. Numbers stay good while the lock is let go.
void Store::Impl::chooseLeaves(const Pool& pool, PageMap::Shard& shard, uint64_t objectHash, FlushInHand& hand,
                               uint32_t firstLeaf, uint32_t lastLeaf) {
  SpinGuard guard(shard.lock);
  CellRef object = shard.findObject(objectHash, pool.id, hand.key.object.word);
  if (!object) {
    hand.done = hand.numbers.empty();
    hand.way = FlushInHand::Way::kListed;
    return;
  }
  const Object& cell = shard.object(object);
  if (lastLeaf - firstLeaf < cell.leafCount || hand.restarts == FlushInHand::kRestartsMax) {
    hand.way = FlushInHand::Way::kByRange;
    return;
  }
  CellRef ref = cell.firstLeaf;
  if (hand.way == FlushInHand::Way::kList) {
    if (shard.findLeaf(objectHash, object, hand.lastListed) == hand.lastListedRef) {
      ref = shard.leaf(hand.lastListedRef).nextOfObject;
    } else {  // evicted meanwhile
      hand.restarts++;
      hand.numbers.clear();
    }
  }
  hand.way = FlushInHand::Way::kList;
  for (uint32_t count = 0; ref && count < FlushInHand::kListedAtOnce; count++) {
    const Leaf& leaf = shard.leaf(ref);
    if (leaf.number >= firstLeaf && leaf.number <= lastLeaf) hand.numbers.push_back(leaf.number);
    hand.lastListed = leaf.number;
    hand.lastListedRef = ref;
    ref = leaf.nextOfObject;
  }
  if (!ref) hand.way = FlushInHand::Way::kListed;
}

uint64_t Store::Impl::flushLeaf(Guest& guest, Pool& pool, PageMap::Shard& shard, uint64_t objectHash,
                                const PageKey& key, uint32_t number, uint32_t from, uint32_t to) {
  SpinGuard guard(shard.lock);
  SlotPlace at{&shard, objectHash, 0, 0, 0, kEmptySlot};
  at.leaf = shard.findLeaf(objectHash, key.pool, key.object.word, number);
  if (!at.leaf) return 0;
  at.object = shard.leaf(at.leaf).object;
  return emptyLeaf(guest, pool, at, from, to);
}

uint64_t Store::Impl::emptyLeaf(Guest& guest, Pool& pool, const SlotPlace& at, uint32_t from, uint32_t to) {
  Leaf& leaf = at.shard->leaf(at.leaf);
  std::array<uint32_t, kLeafSlots> values;
  uint32_t count = 0;
  for (uint32_t slot = from; slot < to; slot++) {
    uint32_t value = leaf.slot[slot];
    if (value == kEmptySlot) continue;
    setSlot(leaf, slot, kEmptySlot);
    values[count++] = value;
    if (isBlock(value)) table.prefetchEntry(value);
  }
  if (count == 0) return 0;
  releaseValues(guest, pool, {values.data(), count});
  forgetPages(guest, pool, at, count);
  return count;
}

}  // namespace tmemd
