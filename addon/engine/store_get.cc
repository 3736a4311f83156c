// get: find the block and pin its span under the shard's lock, then read its entry, verify
// and decode with only the pin held (store_impl.h says why it may); and the accounting of
// slots that get, put, flush and eviction share.
#include <algorithm>
#include <cstring>

#include "engine/store_impl.h"

namespace tmemd {

void Store::get(WorkerContext& context, GuestId guestId, std::span<GetOp> ops) {
  Impl::GuestPlace* at = impl_->place(guestId);
  GateEntry entry(at->gate);
  Guest* guest = Impl::guestIn(*at, guestId);
  bool open = guest && guest->sessionId;
  Status before = Status::kOk;
  while (!ops.empty()) {
    size_t count = std::min<size_t>(ops.size(), Impl::kGetsAhead);
    // An exclusive get changes what a later one of the batch finds.
    for (size_t i = 0; i < count; i++) {
      if (ops[i].exclusive) count = std::max<size_t>(i, 1);
    }
    if (open) {
      before = impl_->getBatch(context, *guest, ops.first(count), before);
    } else {
      for (GetOp& op : ops.first(count)) {
        if (!op.continued) op.status = Status::kNoSession;
      }
    }
    ops = ops.subspan(count);
  }
}

// The pages of a batch are fetched in steps, each step for all of them before the next, so
// that their cache misses overlap. Steps that prefetch take no lock: an atomic operation
// would wait for the addresses before it to be translated, which with many pages held
// takes as long as a cache miss.
Status Store::Impl::getBatch(WorkerContext& context, Guest& guest, std::span<GetOp> ops, Status before) {
  std::array<GetInHand, kGetsAhead> inHand;
  if (ops.size() > 1) {
    std::array<const Leaf*, kGetsAhead> leaves;
    for (size_t i = 0; i < ops.size(); i++) leaves[i] = likelyLeaf(guest, ops[i].key);
    for (size_t i = 0; i < ops.size(); i++) {
      if (!leaves[i]) continue;
      __builtin_prefetch(leaves[i]);
      __builtin_prefetch(&leaves[i]->slot[ops[i].key.index % kLeafSlots]);
    }
  }
  for (size_t i = 0; i < ops.size(); i++) locate(guest, ops[i], inHand[i]);
  for (size_t i = 0; i < ops.size(); i++) inHand[i].prefetchEntry();
  for (size_t i = 0; i < ops.size(); i++) inHand[i].readEntry();
  for (size_t i = 0; i < ops.size(); i++) inHand[i].prefetchBlock();
  for (size_t i = 0; i < ops.size(); i++) {
    if (ops[i].continued && before != Status::kOk) {
      if (inHand[i].bytes) table.unpin(spanOf(inHand[i].value));
      continue;  // its status stays what the caller set
    }
    ops[i].status = deliver(context, guest, ops[i], inHand[i]);
    before = ops[i].status;
  }
  return before;
}

// Where locate() will look first; null: nowhere.
const Leaf* Store::Impl::likelyLeaf(Guest& guest, const PageKey& key) const {
  uint64_t objectHash = guest.map.hashOf(key.pool, key.object.word);
  PageMap::Shard& shard = guest.map.shard(PageMap::shardOf(objectHash));
  SpinGuard guard(shard.lock);
  return shard.likelyLeaf(objectHash, key.index / kLeafSlots);
}

// Finds the block and pins it.
void Store::Impl::locate(Guest& guest, const GetOp& op, GetInHand& hand) {
  hand.pool = guest.pool(op.key.pool);
  if (!hand.pool || (op.exclusive && hand.pool->persistent)) return;
  hand.objectHash = guest.map.hashOf(op.key.pool, op.key.object.word);
  PageMap::Shard& shard = guest.map.shard(PageMap::shardOf(hand.objectHash));
  SpinGuard guard(shard.lock);
  SlotPlace at = find(shard, hand.objectHash, op.key);
  hand.value = at.value;
  if (at.leaf) {
    uint16_t now = round.load(std::memory_order_relaxed);
    if (shard.leaf(at.leaf).touched != now) shard.leaf(at.leaf).touched = now;
  }
  if (!isBlock(hand.value)) return;
  // The slot's reference keeps the block until here; from here on the pin does, and its entry.
  table.pin(spanOf(hand.value));
  hand.bytes = table.bytes(spanOf(hand.value));
}

void Store::Impl::GetInHand::prefetchEntry() const {
  if (bytes) __builtin_prefetch(bytes + kSpanBytes - sizeof(Entry) * (entryOf(value) + 1));
}

void Store::Impl::GetInHand::readEntry() {
  if (!bytes) return;
  entry = SpanTable::entryAt(bytes, entryOf(value)).load(std::memory_order_relaxed);
  bytes += entryOffsetUnits(entry) * 8 + (pool->persistent ? 0 : sizeof(BackReference));
}

// The first lines; the hardware follows a stream that has begun.
void Store::Impl::GetInHand::prefetchBlock() const {
  if (!bytes) return;
  uint32_t ahead = std::min<uint32_t>(entryLength(entry), 512);
  for (uint32_t at = 0; at < ahead; at += 64) __builtin_prefetch(bytes + at);
}

Status Store::Impl::deliver(WorkerContext& context, Guest& guest, const GetOp& op, const GetInHand& hand) {
  if (!hand.pool) return Status::kNoPool;
  if (op.exclusive && hand.pool->persistent) return Status::kBadRequest;
  AtomicOperationCounters& counters = hand.pool->counters;
  bump(counters.getsTotal);
  if (hand.value == kEmptySlot) {
    bump(counters.getsMissedTotal);
    return Status::kMiss;
  }
  bool intact = true;
  if (isFill(hand.value)) {
    std::memset(op.out, static_cast<int>(hand.value - kFirstFillSlot), kPageBytes);
  } else if (hand.value == kDamagedSlot) {
    intact = false;
  } else {
    intact = decodePage(context.scratch().codec, hash, hand.entry, hand.bytes, op.out);
  }
  bump(intact ? counters.getsFoundTotal : counters.getsCorruptTotal);
  if (!intact) bump(guest.corruptFound);
  if (op.exclusive || (!intact && !hand.pool->persistent)) {
    PageMap::Shard& shard = guest.map.shard(PageMap::shardOf(hand.objectHash));
    SpinGuard guard(shard.lock);
    SlotPlace place = find(shard, hand.objectHash, op.key);
    // Still pinned, so the same value is the same block. Then let go, so that the entry is not retired.
    if (hand.bytes) table.unpin(spanOf(hand.value));
    if (place.value == hand.value) clearSlot(guest, *hand.pool, place);
  } else if (hand.bytes) {
    table.unpin(spanOf(hand.value));
  }
  return intact ? Status::kOk : Status::kCorrupt;
}

void Store::Impl::setSlot(Leaf& leaf, uint32_t slot, uint32_t value) {
  schedulingPoint();
  uint32_t old = leaf.slot[slot];
  leaf.used = static_cast<uint8_t>(leaf.used + (old == kEmptySlot) - (value == kEmptySlot));
  uint32_t after = leaf.slotChecks[0] - table.check().ofSlot(slot, old) + table.check().ofSlot(slot, value);
  // release, all of these: at a kill after any of them one of the two checks is right, and
  // what a slot names is complete before it is named. Pairs with recovery.
  std::atomic_ref<uint32_t>(leaf.slotChecks[0]).store(after, std::memory_order_release);
  std::atomic_ref<uint32_t>(leaf.slot[slot]).store(value, std::memory_order_release);
  // At rest nothing of before is accepted, so damage cannot bring it back.
  std::atomic_ref<uint32_t>(leaf.slotChecks[1]).store(after, std::memory_order_release);
}

void Store::Impl::clearSlot(Guest& guest, Pool& pool, const SlotPlace& at) {
  setSlot(at.shard->leaf(at.leaf), at.slot, kEmptySlot);
  releaseValue(guest, pool, at.value);
  forgetPages(guest, pool, at, 1);
}

void Store::Impl::forgetPages(Guest& guest, Pool& pool, const SlotPlace& at, uint64_t count) {
  PageMap::Slabs slabs = guest.slabs(pool.persistent);
  PageMap::Shard& shard = *at.shard;
  drop(pool.counters.pages, count);
  drop(guest.pages, count);
  drop(guest.pagesOf(pool.persistent), count);
  Object& object = shard.object(at.object);
  object.pages -= count;
  if (shard.leaf(at.leaf).used > 0) return;
  shard.removeLeaf(at.objectHash, at.leaf, slabs);
  if (object.leafCount > 0) return;
  shard.removeObject(at.objectHash, at.object, slabs);
  drop(pool.counters.objects);
  drop(guest.objects);
}

std::atomic<uint64_t>& Store::Impl::kindCounter(Pool& pool, uint32_t value, uint32_t lengthBytes, Codec codec) {
  if (value & kSharedBit) return pool.counters.sharedPages;
  if (value == kDamagedSlot) return pool.counters.damagedPages;
  if (codec != Codec::kPlain) return pool.counters.compressedPages;
  // A slot value or a block of one repeated word.
  return lengthBytes == kPageBytes ? pool.counters.rawPages : pool.counters.sameFilledPages;
}

void Store::Impl::countKept(Guest& guest, Pool& pool, const KeptPage& page) {
  bump(kindCounter(pool, page.value, page.lengthBytes, page.codec));
  bump(guest.chargedBytes, Guest::chargeFor(page.lengthBytes));
}

void Store::Impl::countMoved(Guest& guest, Pool& pool, const KeptPage& from, const KeptPage& to) {
  drop(kindCounter(pool, from.value, from.lengthBytes, from.codec));
  bump(kindCounter(pool, to.value, to.lengthBytes, to.codec));
  bump(guest.chargedBytes, Guest::chargeFor(to.lengthBytes) - Guest::chargeFor(from.lengthBytes));
}

void Store::Impl::releaseValue(Guest& guest, Pool& pool, uint32_t value) {
  releaseValues(guest, pool, {&value, 1});
}

void Store::Impl::releaseValues(Guest& guest, Pool& pool, std::span<uint32_t> values) {
  uint64_t chargedBytes = 0;
  std::atomic<uint64_t>* kind = nullptr;  // neighbours are mostly of one kind
  uint64_t ofKind = 0;
  auto tally = [&](uint32_t value, const Bin::Released& released) {
    chargedBytes += Guest::chargeFor(released.lengthBytes);
    std::atomic<uint64_t>* mine = &kindCounter(pool, value, released.lengthBytes, released.codec);
    if (mine != kind) {
      if (kind) drop(*kind, ofKind);
      kind = mine;
      ofKind = 0;
    }
    ofKind++;
  };
  for (uint32_t& value : values) {
    if (isBlock(value)) continue;
    tally(value, {0, Codec::kPlain, true});
    value = 0;
  }
  if (pool.persistent) {
    if (guest.reservePages > 0) guest.reserveBin.unrefAll(values, tally);
    guest.group.bin.unrefAll(values, tally);
  } else {
    guest.ephemeralBin.unrefAll(values, tally);
  }
  if (kind) drop(*kind, ofKind);
  drop(guest.chargedBytes, chargedBytes);
}

}  // namespace tmemd
