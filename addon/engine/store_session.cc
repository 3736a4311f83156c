// Sessions and pools, and how the pages of one that ends are dropped: the gate is closed for as long as it
// takes to make its pools dying ones, then they lose their pages a slice at a time with the gate open. The
// operation ends when they have, so that what comes after finds the reserve whole and every id free.
#include <algorithm>

#include "engine/store_impl.h"

namespace tmemd {

void Store::Impl::dropDyingPools(GuestPlace& at, Guest& guest, bool background) {
  for (uint32_t i = 0; i < PageMap::kShards && guest.anyDyingObject(); i++) {
    PageMap::Shard& shard = guest.map.shard(i);
    ChainTable::Place place = 0;
    for (bool more = true; more;) {
      // Inside the gate, so that who stops everything to check it stops this as well.
      background ? at.gate.enterInBackground() : at.gate.enter();
      more = dropSlice(guest, shard, &place);
      background ? at.gate.leaveInBackground() : at.gate.leave();
    }
  }
}

bool Store::Impl::dropSlice(Guest& guest, PageMap::Shard& shard, ChainTable::Place* at) {
  SpinGuard guard(shard.lock);
  uint32_t steps = kDropSteps;
  while (steps > 0) {
    CellRef ref = shard.nextObject(at, &steps, [&](const Object& object) {
      return guest.dyingPool(object.poolTag - 1) != nullptr;
    });
    if (!ref) break;
    const Object& object = shard.object(ref);
    Pool& pool = *guest.dyingPool(object.poolTag - 1);
    uint64_t objectHash = shard.hashOf(object);
    // The object goes with its last leaf, a leaf with its last slot.
    for (bool last = false; !last && steps > 0;) {
      last = object.leafCount == 1;
      uint64_t pages = emptyLeaf(guest, pool, {&shard, objectHash, ref, object.firstLeaf, 0, kEmptySlot}, 0, kLeafSlots);
      steps -= static_cast<uint32_t>(std::min<uint64_t>(steps, pages));
    }
  }
  return *at < ChainTable::kEnd;
}

// Published first: a recovery takes what is left of the session before for garbage.
uint64_t Store::Impl::openSession(GuestId id, uint64_t sessionId, bool background) {
  GuestPlace& at = *place(id);
  SpinGuard control(at.controlling);
  Guest* guest;
  {
    Change change(at);
    guest = guestIn(at, id);
    if (!guest) return 0;
    guest->sessionId = sessionId;
    changeSettings(*guest, true);
    guest->retirePools();
  }
  dropDyingPools(at, *guest, background);
  {
    Change change(at);
    guest->forgetDyingPools();
  }
  records.clearPools(guest->record);  // `controlling` keeps others from them
  return sessionId;
}

uint64_t Store::reset(GuestId guestId) { return impl_->openSession(guestId, randomNonZero(), false); }

void Store::dropPools(GuestId guestId) { impl_->openSession(guestId, 0, true); }

Status Store::attach(GuestId guestId, uint64_t sessionId) {
  Impl::GuestPlace* at = impl_->place(guestId);
  SpinGuard reading(at->reading);
  Guest* guest = Impl::guestIn(*at, guestId);
  return guest && sessionId != 0 && guest->sessionId == sessionId ? Status::kOk : Status::kNoSession;
}

bool Store::hasSession(GuestId guestId) const {
  Impl::GuestPlace* at = impl_->place(guestId);
  SpinGuard reading(at->reading);
  Guest* guest = Impl::guestIn(*at, guestId);
  return guest && guest->sessionId != 0;
}

Status Store::createPool(GuestId guestId, bool persistent, PoolId* pool) {
  Impl::GuestPlace* at = impl_->place(guestId);
  SpinGuard control(at->controlling);
  Impl::Change change(*at);
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
  SpinGuard control(at->controlling);
  Guest* guest;
  {
    Impl::Change change(*at);
    guest = Impl::guestIn(*at, guestId);
    if (!guest || !guest->sessionId) return Status::kNoSession;
    if (!guest->pool(poolId)) return Status::kNoPool;
    size_t index = poolId % guest->pools.size();
    // First of all: what is left of a destroyed pool is garbage to a recovery.
    impl_->records.setPool(guest->record, static_cast<uint32_t>(index), poolId, PoolState::kDestroyed);
    guest->dying[index] = std::move(guest->pools[index]);
    if (!guest->anyDyingObject()) {
      guest->forgetDyingPools();
      return Status::kOk;
    }
  }
  impl_->dropDyingPools(*at, *guest, false);
  Impl::Change change(*at);
  guest->forgetDyingPools();
  return Status::kOk;
}

Status Store::pagesHeld(GuestId guestId, PoolId poolId, uint64_t* pages) const {
  Impl::GuestPlace* at = impl_->place(guestId);
  SpinGuard reading(at->reading);
  Guest* guest = Impl::guestIn(*at, guestId);
  if (!guest || !guest->sessionId) return Status::kNoSession;
  Pool* pool = guest->pool(poolId);
  if (!pool) return Status::kNoPool;
  *pages = pool->counters.pages.load(std::memory_order_relaxed);
  return Status::kOk;
}

uint64_t Store::pagesHeld(GuestId guestId) const {
  Impl::GuestPlace* at = impl_->place(guestId);
  SpinGuard reading(at->reading);
  Guest* guest = Impl::guestIn(*at, guestId);
  return guest ? guest->pages.load(std::memory_order_relaxed) : 0;
}

}  // namespace tmemd
