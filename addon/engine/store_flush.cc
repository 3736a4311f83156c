// flush: of a range or a whole object, a leaf at a time, so that the shard's
// lock is held for at most 64 pages and work is bounded by what is there.
#include <algorithm>
#include <array>

#include "engine/store_impl.h"

namespace tmemd {

Status Store::flush(WorkerContext&, GuestId guestId, const PageKey& key, uint64_t pageCount) {
  Impl::GuestPlace* at = impl_->place(guestId);
  GateEntry entry(at->gate);
  Guest* guest = Impl::guestIn(*at, guestId);
  if (!guest || !guest->sessionId) return Status::kNoSession;
  Pool* pool = guest->pool(key.pool);
  if (!pool) return Status::kNoPool;
  if (pageCount == 0 || pageCount > (uint64_t{1} << 32) - key.index) return Status::kBadRequest;
  bump(pool->counters.flushesTotal);
  bump(pool->counters.flushesFoundTotal, impl_->flushRange(*guest, *pool, key, pageCount));
  return Status::kOk;
}

Status Store::flushObject(WorkerContext&, GuestId guestId, PoolId poolId, const ObjectId& object) {
  Impl::GuestPlace* at = impl_->place(guestId);
  GateEntry entry(at->gate);
  Guest* guest = Impl::guestIn(*at, guestId);
  if (!guest || !guest->sessionId) return Status::kNoSession;
  Pool* pool = guest->pool(poolId);
  if (!pool) return Status::kNoPool;
  bump(pool->counters.objectFlushesTotal);
  uint64_t found = impl_->flushRange(*guest, *pool, {poolId, object, 0}, uint64_t{1} << 32);
  bump(pool->counters.objectFlushesFoundTotal, found > 0);
  return Status::kOk;
}

uint64_t Store::Impl::flushRange(Guest& guest, Pool& pool, const PageKey& key, uint64_t pageCount) {
  uint64_t objectHash = guest.map.hashOf(key.pool, key.object.word);
  PageMap::Shard& shard = guest.map.shard(PageMap::shardOf(objectHash));
  uint64_t end = key.index + pageCount;
  uint32_t firstLeaf = key.index / kLeafSlots;
  uint32_t lastLeaf = static_cast<uint32_t>((end - 1) / kLeafSlots);
  // The leaves to visit, by number: those of the range, or if the object has
  // fewer, its own. Numbers stay good while the lock is let go between leaves.
  std::vector<uint32_t> numbers;
  bool byRange;
  {
    SpinGuard guard(shard.lock);
    CellRef object = shard.findObject(objectHash, key.pool, key.object.word);
    if (!object) return 0;
    const Object& cell = shard.object(object);
    byRange = lastLeaf - firstLeaf < cell.leafCount;
    if (!byRange) {
      numbers.reserve(cell.leafCount);
      for (CellRef ref = cell.firstLeaf; ref; ref = shard.leaf(ref).nextOfObject) {
        uint32_t number = shard.leaf(ref).number;
        if (number >= firstLeaf && number <= lastLeaf) numbers.push_back(number);
      }
    }
  }
  uint64_t found = 0;
  auto visit = [&](uint32_t number) {
    uint64_t leafStart = uint64_t{number} * kLeafSlots;
    uint32_t from = static_cast<uint32_t>(std::max<uint64_t>(key.index, leafStart) - leafStart);
    uint32_t to = static_cast<uint32_t>(std::min<uint64_t>(end, leafStart + kLeafSlots) - leafStart);
    found += flushLeaf(guest, pool, shard, objectHash, key, number, from, to);
  };
  if (byRange) {
    for (uint64_t number = firstLeaf; number <= lastLeaf; number++) visit(static_cast<uint32_t>(number));
  } else {
    for (uint32_t number : numbers) visit(number);
  }
  return found;
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
