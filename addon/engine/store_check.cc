// The check that everything adds up: every gauge is counted anew from what it is a sum of.
//
//   slots           what kind of page each holds     a pool's pages by kind, its objects; a guest's
//                                                    pages of both kinds, charged bytes
//   slots           which block each names           every block's references
//   entries         lengths, references              a bin's sums, a span's (bin_audit.cc)
//   bins and slabs  spans                            frames taken, quotas, frames committed
//   heap tables     their sizes                      borrowed bytes
//   all of it                                        used, data, metadata (store_impl.h)
//
// Counters that only grow are compared with each other, as far as one follows from others.
#include <algorithm>

#include "engine/block_counts.h"
#include "engine/store_impl.h"

namespace tmemd {

std::string Store::checkInvariants() {
  std::lock_guard<std::mutex> control(impl_->controlMutex);
  uint32_t used = impl_->placesUsed.load(std::memory_order_relaxed);
  for (uint32_t i = 0; i < used; i++) impl_->places[i].gate.close();
  std::string wrong = impl_->check();
  for (uint32_t i = 0; i < used; i++) impl_->places[i].gate.open();
  return wrong;
}

namespace {

// The blocks that slots name, every slot counted.
struct NamedBlocks {
  // Entries of every span of blocks, free ones included.
  explicit NamedBlocks(const SpanTable& table) : end(table.usedNumbersEnd()), counts(end) {
    for (SpanNumber span = 1; span < end; span++) {
      SpanKind kind = table.kindOf(span);
      if (kind != SpanKind::kShared && kind != SpanKind::kReserve && kind != SpanKind::kEphemeral) continue;
      if (uint32_t entries = table.header(span).blockCount) counts.note(makeLoc(span, entries - 1));
    }
    counts.makeRoom();
  }
  bool count(Loc loc) {
    if (spanOf(loc) >= end || entryOf(loc) >= counts.of(spanOf(loc)).size()) return false;
    counts.count(loc);
    slots++;
    return true;
  }
  bool addUp(const SpanTable& table) {
    for (SpanNumber span = 1; span < end; span++) {
      uint32_t entry = 0;
      for (uint8_t references : counts.of(span)) {
        if (entryReferences(table.entry(span, entry++).load(std::memory_order_relaxed)) != references) return false;
      }
    }
    return true;
  }
  SpanNumber end;
  BlockCounts counts;
  uint64_t slots = 0;
};

// What a pool's gauges must be.
struct PoolRecount {
  OperationCounters found;  // its gauges alone
  uint64_t leaves = 0;
};

struct GuestRecount {
  explicit GuestRecount(const Guest& guest) : pools(guest.pools.size()), dying(guest.dying.size()) {}
  PoolRecount& of(const Guest& guest, const Pool& pool) {
    size_t place = pool.id % pools.size();
    return guest.pools[place].get() == &pool ? pools[place] : dying[place];
  }
  std::vector<PoolRecount> pools;  // as the guest's, and
  std::vector<PoolRecount> dying;
  uint64_t chargedBytes = 0;
  std::string wrong;
};

const char* wrongWith(const OperationCounters& told) {
  if (told.putsTotal != told.putsGoodTotal + told.putsRefusedCapacityTotal + told.putsRefusedLimitTotal +
                            told.putsRefusedCapTotal + told.putsRefusedFrozenTotal ||
      told.getsTotal != told.getsFoundTotal + told.getsMissedTotal + told.getsCorruptTotal) {
    return "results do not add up to requests";
  }
  if (told.putsReplacedTotal > told.putsGoodTotal) return "more pages were replaced than put";
  if (told.objectFlushesFoundTotal > told.objectFlushesTotal) return "more objects were flushed than asked for";
  return nullptr;
}

const char* wrongWith(const Pool& pool, const PoolRecount& recount) {
  OperationCounters told = pool.counters.read();
  const OperationCounters& found = recount.found;
  if (told.pages != found.pages) return "a pool's pages do not add up";
  if (told.objects != found.objects) return "a pool's objects do not add up";
  if (told.sameFilledPages != found.sameFilledPages) return "a pool's same-filled pages do not add up";
  if (told.sharedPages != found.sharedPages) return "a pool's shared pages do not add up";
  if (told.compressedPages != found.compressedPages) return "a pool's compressed pages do not add up";
  if (told.rawPages != found.rawPages) return "a pool's raw pages do not add up";
  if (told.damagedPages != found.damagedPages) return "a pool's damaged pages do not add up";
  if (told.pagesMax < told.pages) return "a pool holds more pages than its most";
  if (told.objectsMax < told.objects) return "a pool holds more objects than its most";
  if (pool.persistent && told.evictedTotal != 0) return "persistent pages were evicted";
  // Recovery brings no ephemeral pages back, so each was put here, and left at most once.
  if (!pool.persistent && told.putsGoodTotal - told.putsReplacedTotal <
                              told.pages + told.evictedTotal + told.flushesFoundTotal + told.putsDroppedTotal) {
    return "more ephemeral pages are held or gone than were put";
  }
  return wrongWith(told);
}

void recountLeaf(const SpanTable& table, const Leaf& leaf, Pool& pool, PoolRecount& into, GuestRecount& guest,
                 NamedBlocks& named) {
  uint32_t pages = 0;
  for (uint32_t value : leaf.slot) {
    if (value == kEmptySlot) continue;
    pages++;
    uint32_t lengthBytes = 0;
    Codec codec = Codec::kPlain;
    if (isBlock(value)) {
      if (!named.count(value)) {
        guest.wrong = "a slot names what is no block";
        continue;
      }
      Entry entry = table.entry(spanOf(value), entryOf(value)).load(std::memory_order_relaxed);
      if (entryReferences(entry) == 0) guest.wrong = "a slot names a free block";
      lengthBytes = entryLength(entry);
      codec = entryCodec(entry);
    } else if (!isPlainSlot(value)) {
      guest.wrong = "a slot holds what none may";
    } else if (isFill(value) && !pool.persistent) {
      guest.wrong = "an ephemeral page has no block, so it cannot be evicted";
    }
    OperationCounters& kinds = into.found;
    if (value & kSharedBit) {
      kinds.sharedPages++;
    } else if (value == kDamagedSlot) {
      kinds.damagedPages++;
    } else if (codec != Codec::kPlain) {
      kinds.compressedPages++;
    } else if (lengthBytes == kPageBytes) {
      kinds.rawPages++;
    } else {
      kinds.sameFilledPages++;
    }
    guest.chargedBytes += Guest::chargeFor(lengthBytes);
  }
  if (leaf.slotChecks[0] != table.check().ofSlots(leaf) || leaf.slotChecks[1] != leaf.slotChecks[0]) {
    guest.wrong = "a leaf's check is wrong";
  }
  if (pages != leaf.used || pages == 0) guest.wrong = "a leaf's count of pages is wrong";
  into.found.pages += pages;
  into.leaves++;
}

void recountShard(const SpanTable& table, Guest& guest, PageMap::Shard& shard, GuestRecount& recount,
                  NamedBlocks& named) {
  SpinGuard guard(shard.lock);
  uint64_t objects = 0;
  uint64_t leaves = 0;
  shard.forEachObject([&](CellRef ref) {
    const Object& object = shard.object(ref);
    Pool* pool = guest.poolOf(object);
    if (!pool) {
      recount.wrong = "an object of no pool";
      return;
    }
    objects++;
    PoolRecount& into = recount.of(guest, *pool);
    into.found.objects++;
    uint64_t pagesBefore = into.found.pages;
    uint64_t leavesBefore = into.leaves;
    for (CellRef leafRef = object.firstLeaf; leafRef; leafRef = shard.leaf(leafRef).nextOfObject) {
      const Leaf& leaf = shard.leaf(leafRef);
      if (leaf.object != ref) recount.wrong = "a leaf of another object";
      if (shard.findLeaf(shard.hashOf(object), ref, leaf.number) != leafRef) {
        recount.wrong = "a leaf is not found by its number";
      }
      recountLeaf(table, leaf, *pool, into, recount, named);
    }
    uint64_t objectLeaves = into.leaves - leavesBefore;
    if (into.found.pages - pagesBefore != object.pages || objectLeaves != object.leafCount) {
      recount.wrong = "an object's counts are wrong";
    }
    leaves += objectLeaves;
  });
  if (objects != shard.objectCount() || leaves != shard.leafCount()) recount.wrong = "a shard lost cells";
}

std::string wrongWithGuest(const SpanTable& table, Guest& guest, NamedBlocks& named) {
  GuestRecount recount(guest);
  for (uint32_t i = 0; i < PageMap::kShards; i++) recountShard(table, guest, guest.map.shard(i), recount, named);
  if (!recount.wrong.empty()) return recount.wrong;
  uint64_t pages[2] = {0, 0};
  uint64_t objects[2] = {0, 0};
  uint64_t leaves[2] = {0, 0};
  for (const auto* some : {&guest.pools, &guest.dying}) {
    for (const auto& pool : *some) {
      if (!pool) continue;
      const PoolRecount& counted = recount.of(guest, *pool);
      pages[pool->persistent] += counted.found.pages;
      objects[pool->persistent] += counted.found.objects;
      leaves[pool->persistent] += counted.leaves;
      if (const char* what = wrongWith(*pool, counted)) return what;
    }
  }
  if (pages[1] != guest.persistentPages || pages[0] != guest.ephemeralPages || pages[0] + pages[1] != guest.pages) {
    return "pages held do not add up";
  }
  if (objects[0] + objects[1] != guest.objects) return "objects held do not add up";
  if (guest.pagesMax < guest.pages || guest.objectsMax < guest.objects) return "it holds more than its most";
  if (objects[1] != guest.persistentObjects.liveCells() || objects[0] != guest.ephemeralObjects.liveCells() ||
      leaves[1] != guest.persistentLeaves.liveCells() || leaves[0] != guest.ephemeralLeaves.liveCells()) {
    return "cells are lost";
  }
  if (recount.chargedBytes != guest.chargedBytes) return "charged bytes do not add up";
  if (pages[0] != guest.ephemeralBin.liveBlocks()) return "ephemeral blocks are more or fewer than pages";
  const OperationCounters& gone = guest.destroyed;
  if (gone.pages + gone.objects + gone.sameFilledPages + gone.sharedPages + gone.compressedPages + gone.rawPages +
          gone.damagedPages != 0) {
    return "pools that are gone hold pages";
  }
  if (const char* what = wrongWith(guest.counters())) return what;
  Guest::ReserveFrames set = Guest::reserveFrames(guest.reservePages);
  // Nothing yet, or any more, while the guest comes or goes.
  auto isNeither = [](const FrameQuota& quota, uint64_t frames) {
    return quota.reservedFrames != 0 && quota.reservedFrames != frames;
  };
  if (isNeither(guest.dataQuota, set.data) || isNeither(guest.leafQuota, set.leaves) ||
      isNeither(guest.objectQuota, set.objects)) {
    return "its reserve is not what was asked for";
  }
  if (guest.dataQuota.heldFrames != guest.reserveBin.spanCount() ||
      guest.leafQuota.heldFrames != guest.persistentLeaves.spanCount() ||
      guest.objectQuota.heldFrames != guest.persistentObjects.spanCount()) {
    return "frames held of its reserve do not add up";
  }
  return "";
}

}  // namespace

// Every gate is closed.
std::string Store::Impl::check() {
  if (const char* wrong = table.checkInvariants(); *wrong) return wrong;
  NamedBlocks named(table);
  uint64_t spans = records.slab().spanCount();
  uint64_t metadataBytes = records.slab().metadataBytes();
  uint64_t recordCells = 0;
  uint64_t chargedBytes = index.chargedBytes();
  uint64_t reservedFrames = 0;
  uint64_t beyondReserves = 0;  // frames set aside and not held
  for (GuestPlace& at : places) {
    if (!at.guest) continue;
    Guest& guest = *at.guest;
    if (std::string wrong = wrongWithGuest(table, guest, named); !wrong.empty()) {
      return "guest " + guest.name + ": " + wrong;
    }
    spans += guest.cellSpans();
    metadataBytes += guest.cellMetadataBytes();
    recordCells += 1 + guest.record.pools.size();
    chargedBytes += guest.map.chargedBytes();
    for (const FrameQuota* quota : {&guest.dataQuota, &guest.leafQuota, &guest.objectQuota}) {
      reservedFrames += quota->reservedFrames;
      beyondReserves += std::max(quota->reservedFrames, quota->heldFrames) - quota->heldFrames;
    }
  }
  if (recordCells != records.slab().liveCells()) return "records are lost";
  if (const char* wrong = index.audit(); *wrong) return wrong;
  if (!named.addUp(table)) return "a block's references do not add up";
  uint64_t references = 0;
  uint64_t dataBytes = 0;
  std::string wrong;
  forEachBin([&](const Bin& bin) {
    if (const char* what = bin.audit(); what && wrong.empty()) wrong = what;
    Bin::Sums sums = bin.sums();
    references += sums.references;
    spans += sums.spans;
    dataBytes += sums.dataBytes;
    metadataBytes += bin.metadataBytes();
  });
  if (!wrong.empty()) return wrong;
  if (references != named.slots) return "blocks are referenced by nobody";
  SpanTable::Usage usage = table.usage();
  if (spans != usage.takenFrames) return "spans taken are not all owned";
  if (chargedBytes != usage.borrowedBytes) return "borrowed bytes are not those of the tables on the heap";
  if (reservedFrames * kSpanBytes != usage.reservedBytes) return "reserves do not add up";
  uint64_t borrowedFrames = (usage.borrowedBytes + kSpanBytes - 1) / kSpanBytes;
  if (usage.takenFrames + beyondReserves + borrowedFrames != usage.committedFrames) {
    return "frames committed do not add up";
  }
  if (usage.usedBytes > usage.capacityBytes) return "used exceeds the capacity";
  if (dataBytes + metadataBytes + usage.fixedBytes + usage.borrowedBytes > usage.usedBytes) {
    return "data and metadata exceed what is used";
  }
  return "";
}

}  // namespace tmemd
