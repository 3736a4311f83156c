// Sessions and pools, and how the pages of one that ends are dropped.
#include <algorithm>

#include "engine/store_impl.h"

namespace tmemd {

void Store::Impl::dropPages(Guest& guest, const Pool* only) {
  for (uint32_t i = 0; i < PageMap::kShards; i++) {
    PageMap::Shard& shard = guest.map.shard(i);
    SpinGuard guard(shard.lock);
    for (auto& pool : guest.pools) {
      if (!pool || (only && pool.get() != only)) continue;
      size_t bucket = 0;
      while (CellRef object = shard.nextObjectOfPool(pool->id, &bucket)) dropObject(guest, *pool, shard, object);
    }
  }
}

void Store::Impl::dropObject(Guest& guest, Pool& pool, PageMap::Shard& shard, CellRef object) {
  Object& cell = shard.object(object);
  uint64_t objectHash = guest.map.hashOf(cell.poolTag - 1, cell.oid);
  // The object goes with its last leaf, a leaf with its last slot.
  for (uint32_t leaves = cell.leafCount; leaves > 0; leaves--) {
    emptyLeaf(guest, pool, {&shard, objectHash, object, cell.firstLeaf, 0, kEmptySlot}, 0, kLeafSlots);
  }
}

void Store::Impl::forgetPool(Guest& guest, std::unique_ptr<Pool>& pool) {
  OperationCounters last = pool->counters.read();
#define X(name) guest.destroyed.name += last.name;
  TMEMD_OPERATION_COUNTERS(X)
#undef X
  pool.reset();
}

void Store::Impl::forgetPools(Guest& guest) {
  dropPages(guest, nullptr);
  for (uint64_t i = 0; i < guest.pools.size(); i++) {
    if (guest.pools[i]) forgetPool(guest, guest.pools[i]);
    guest.nextPoolId[i] = i;
  }
}

// Published first: a recovery takes what is left of the session before for garbage.
void Store::Impl::openSession(Guest& guest, uint64_t sessionId) {
  guest.sessionId = sessionId;
  changeSettings(guest, true);
  forgetPools(guest);
  records.clearPools(guest.record);
}

uint64_t Store::reset(GuestId guestId) {
  Impl::GuestPlace* at = impl_->place(guestId);
  GateClosure closure(at->gate);
  Guest* guest = Impl::guestIn(*at, guestId);
  if (!guest) return 0;
  impl_->openSession(*guest, randomNonZero());
  return guest->sessionId;
}

Status Store::attach(GuestId guestId, uint64_t sessionId) {
  Impl::GuestPlace* at = impl_->place(guestId);
  GateEntry entry(at->gate);
  Guest* guest = Impl::guestIn(*at, guestId);
  return guest && sessionId != 0 && guest->sessionId == sessionId ? Status::kOk : Status::kNoSession;
}

void Store::dropPools(GuestId guestId) {
  Impl::GuestPlace* at = impl_->place(guestId);
  GateClosure closure(at->gate);
  Guest* guest = Impl::guestIn(*at, guestId);
  if (!guest) return;
  impl_->openSession(*guest, 0);
}

bool Store::hasSession(GuestId guestId) const {
  Impl::GuestPlace* at = impl_->place(guestId);
  GateEntry entry(at->gate);
  Guest* guest = Impl::guestIn(*at, guestId);
  return guest && guest->sessionId != 0;
}

Status Store::createPool(GuestId guestId, bool persistent, PoolId* pool) {
  Impl::GuestPlace* at = impl_->place(guestId);
  GateClosure closure(at->gate);
  Guest* guest = Impl::guestIn(*at, guestId);
  if (!guest || !guest->sessionId) return Status::kNoSession;
  constexpr uint64_t kIdsEnd = 0xffffffff;  // STAT's "all pools"
  uint64_t best = kIdsEnd;
  for (uint64_t i = 0; i < guest->pools.size(); i++) {
    if (!guest->pools[i]) best = std::min(best, guest->nextPoolId[i]);
  }
  if (best >= kIdsEnd) return Status::kTooMany;
  uint64_t index = best % guest->pools.size();
  guest->pools[index] = std::make_unique<Pool>(static_cast<PoolId>(best), persistent);
  guest->nextPoolId[index] = best + guest->pools.size();
  impl_->records.setPool(guest->record, static_cast<uint32_t>(index), static_cast<uint32_t>(best),
                         persistent ? PoolState::kPersistent : PoolState::kEphemeral);
  *pool = static_cast<PoolId>(best);
  return Status::kOk;
}

Status Store::destroyPool(GuestId guestId, PoolId poolId) {
  Impl::GuestPlace* at = impl_->place(guestId);
  GateClosure closure(at->gate);
  Guest* guest = Impl::guestIn(*at, guestId);
  if (!guest || !guest->sessionId) return Status::kNoSession;
  Pool* pool = guest->pool(poolId);
  if (!pool) return Status::kNoPool;
  // First of all: what is left of a destroyed pool is garbage to a recovery.
  impl_->records.setPool(guest->record, poolId % static_cast<uint32_t>(guest->pools.size()), poolId,
                         PoolState::kDestroyed);
  impl_->dropPages(*guest, pool);
  impl_->forgetPool(*guest, guest->pools[poolId % guest->pools.size()]);
  return Status::kOk;
}

Status Store::pagesHeld(GuestId guestId, PoolId poolId, uint64_t* pages) const {
  Impl::GuestPlace* at = impl_->place(guestId);
  GateEntry entry(at->gate);
  Guest* guest = Impl::guestIn(*at, guestId);
  if (!guest || !guest->sessionId) return Status::kNoSession;
  Pool* pool = guest->pool(poolId);
  if (!pool) return Status::kNoPool;
  *pages = pool->counters.pages.load(std::memory_order_relaxed);
  return Status::kOk;
}

uint64_t Store::pagesHeld(GuestId guestId) const {
  Impl::GuestPlace* at = impl_->place(guestId);
  GateEntry entry(at->gate);
  Guest* guest = Impl::guestIn(*at, guestId);
  return guest ? guest->pages.load(std::memory_order_relaxed) : 0;
}

}  // namespace tmemd
