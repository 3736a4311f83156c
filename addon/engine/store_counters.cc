// Counters, and the check that everything adds up.
#include <algorithm>

#include "engine/store_impl.h"

namespace tmemd {

namespace {

// Cells and headers of a slab; what is left of its spans is slack.
uint64_t slabMetadataBytes(const CellSlab& slab) {
  return slab.liveCells() * slab.cellBytes() + slab.spanCount() * sizeof(SpanHeader);
}

uint64_t slabMetadataBytes(const Guest& guest) {
  return slabMetadataBytes(guest.persistentObjects) + slabMetadataBytes(guest.persistentLeaves) +
         slabMetadataBytes(guest.ephemeralObjects) + slabMetadataBytes(guest.ephemeralLeaves);
}

uint64_t slabSpans(const Guest& guest) {
  return guest.persistentObjects.spanCount() + guest.persistentLeaves.spanCount() +
         guest.ephemeralObjects.spanCount() + guest.ephemeralLeaves.spanCount();
}

}  // namespace

StoreCounters Store::counters() const {
  // Guests and groups stay while it is held.
  std::lock_guard<std::mutex> control(impl_->controlMutex);
  StoreCounters out;
  SpanTable::Usage usage = impl_->table.usage();
  out.capacityBytes = usage.capacityBytes;
  out.usedBytes = usage.usedBytes;
  out.hugeBytes = usage.hugeBytes;
  out.reservedBytes = usage.reservedBytes;
  out.metadataBytes = usage.fixedBytes + usage.borrowedBytes + slabMetadataBytes(impl_->records.slab());
  uint64_t fillBlocks = 0;
  impl_->forEachBin([&](const Bin& bin) {
    Bin::Sums sums = bin.sums();
    out.dataBytes += sums.dataBytes;
    out.metadataBytes += bin.metadataBytes();
    out.lz4Pages += sums.blocks - sums.rawBlocks - sums.fillBlocks;
    out.rawPages += sums.rawBlocks;
    out.dedupSavedPages += sums.references - sums.blocks;
    out.dedupSavedBytes += sums.extraReferenceBytes;
    fillBlocks += sums.fillBlocks;
  });
  uint64_t pages = 0;
  out.evictionsTotal = impl_->retiredEvictions;
  out.evictionAttemptsTotal = impl_->retiredEvictionAttempts;
  out.corruptTotal = impl_->retiredCorrupt;
  for (Impl::GuestPlace& at : impl_->places) {
    if (!at.guest) continue;
    Guest& guest = *at.guest;
    SpinGuard reading(at.reading);
    OperationCounters sum = guest.counters();
    out.metadataBytes += slabMetadataBytes(guest);
    out.sameFilledPages += sum.sameFilledPages;
    out.evictionsTotal += sum.evictedTotal;
    out.evictionAttemptsTotal += guest.evictionAttempts.load(std::memory_order_relaxed);
    out.corruptTotal += guest.corruptFound.load(std::memory_order_relaxed);
    pages += guest.pages.load(std::memory_order_relaxed);
  }
  out.logicalBytes = pages * kPageBytes;
  out.sameFilledSavedBytes = out.sameFilledPages * kPageBytes - std::min(out.sameFilledPages * kPageBytes, fillBlocks * 8);
  // Parts were read one after another: while others change them they may not add up.
  out.slackBytes = out.usedBytes - std::min(out.usedBytes, out.dataBytes + out.metadataBytes);
  return out;
}

GuestCounters Store::guestCounters(GuestId guestId) const {
  Impl::GuestPlace* at = impl_->place(guestId);
  SpinGuard reading(at->reading);
  GuestCounters out;
  Guest* guest = Impl::guestIn(*at, guestId);
  if (!guest) return out;
  out.operations = guest->counters();
  out.persistentPages = guest->persistentPages.load(std::memory_order_relaxed);
  out.ephemeralPages = guest->ephemeralPages.load(std::memory_order_relaxed);
  out.chargedBytes = guest->chargedBytes.load(std::memory_order_relaxed);
  out.weight = guest->weight.load(std::memory_order_relaxed);
  out.capPages = guest->capPages.load(std::memory_order_relaxed);
  out.persistentReservePages = guest->reservePages;
  out.persistentLimitPages = guest->limitPages.load(std::memory_order_relaxed);
  out.frozen = guest->frozen.load(std::memory_order_relaxed);
  for (const auto& pool : guest->pools) out.pools += pool != nullptr;
  return out;
}

std::vector<PoolCounters> Store::poolCounters(GuestId guestId) const {
  Impl::GuestPlace* at = impl_->place(guestId);
  std::vector<PoolCounters> out;
  {
    SpinGuard reading(at->reading);
    Guest* guest = Impl::guestIn(*at, guestId);
    if (!guest) return out;
    for (const auto& pool : guest->pools) {
      if (pool) out.push_back({pool->id, pool->persistent, pool->counters.read()});
    }
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.pool < b.pool; });
  return out;
}

std::string Store::checkInvariants() {
  std::lock_guard<std::mutex> control(impl_->controlMutex);
  uint32_t used = impl_->placesUsed.load(std::memory_order_relaxed);
  for (uint32_t i = 0; i < used; i++) impl_->places[i].gate.close();
  std::string wrong = impl_->check();
  for (uint32_t i = 0; i < used; i++) impl_->places[i].gate.open();
  return wrong;
}

// Every gate is closed.
std::string Store::Impl::check() {
  if (const char* wrong = table.checkInvariants(); *wrong) return wrong;
  std::vector<Loc> named;  // the block of every slot that names one
  uint64_t spans = records.slab().spanCount();
  uint64_t metadataBytes = slabMetadataBytes(records.slab());
  for (GuestPlace& at : places) {
    if (!at.guest) continue;
    Guest& guest = *at.guest;
    std::string who = "guest " + guest.name + ": ";
    spans += slabSpans(guest);
    metadataBytes += slabMetadataBytes(guest);
    uint64_t leaves[2] = {0, 0};
    uint64_t objects[2] = {0, 0};
    uint64_t pages[2] = {0, 0};
    uint64_t charged = 0;
    std::string wrong;
    for (uint32_t i = 0; i < PageMap::kShards; i++) {
      PageMap::Shard& shard = guest.map.shard(i);
      SpinGuard guard(shard.lock);
      uint64_t shardObjects = 0;
      uint64_t shardLeaves = 0;
      shard.forEachObject([&](CellRef ref) {
        const Object& object = shard.object(ref);
        Pool* pool = guest.poolOf(object);
        if (!pool) {
          wrong = "an object of no pool";
          return;
        }
        shardObjects++;
        objects[pool->persistent]++;
        uint32_t objectPages = 0;
        uint32_t objectLeaves = 0;
        for (CellRef leafRef = object.firstLeaf; leafRef; leafRef = shard.leaf(leafRef).nextOfObject) {
          const Leaf& leaf = shard.leaf(leafRef);
          if (leaf.object != ref) wrong = "a leaf of another object";
          if (shard.findLeaf(shard.hashOf(object), ref, leaf.number) != leafRef) wrong = "a leaf is not found by its number";
          uint32_t leafPages = 0;
          for (uint32_t slot = 0; slot < kLeafSlots; slot++) {
            uint32_t value = leaf.slot[slot];
            if (value == kEmptySlot) continue;
            leafPages++;
            uint32_t lengthBytes = 0;
            if (!isBlock(value) && !isPlainSlot(value)) wrong = "a slot holds what none may";
            if (isBlock(value)) {
              named.push_back(value & ~kSharedBit);
              Entry entry = table.entry(spanOf(value), entryOf(value)).load(std::memory_order_relaxed);
              if (entryReferences(entry) == 0) wrong = "a slot names a free block";
              lengthBytes = entryLength(entry);
            }
            charged += Guest::chargeFor(lengthBytes);
          }
          if (leaf.slotChecks[0] != table.check().ofSlots(leaf) ||
              leaf.slotChecks[1] != leaf.slotChecks[0]) wrong = "a leaf's check is wrong";
          if (leafPages != leaf.used || leafPages == 0) wrong = "a leaf's count of pages is wrong";
          objectPages += leafPages;
          objectLeaves++;
        }
        if (objectPages != object.pages || objectLeaves != object.leafCount) wrong = "an object's counts are wrong";
        pages[pool->persistent] += objectPages;
        shardLeaves += objectLeaves;
        leaves[pool->persistent] += objectLeaves;
      });
      if (shardObjects != shard.objectCount() || shardLeaves != shard.leafCount()) wrong = "a shard lost cells";
    }
    if (!wrong.empty()) return who + wrong;
    if (pages[1] != guest.persistentPages || pages[0] != guest.ephemeralPages || pages[0] + pages[1] != guest.pages) {
      return who + "pages held do not add up";
    }
    if (objects[1] != guest.persistentObjects.liveCells() || objects[0] != guest.ephemeralObjects.liveCells() ||
        leaves[1] != guest.persistentLeaves.liveCells() || leaves[0] != guest.ephemeralLeaves.liveCells()) {
      return who + "cells are lost";
    }
    if (charged != guest.chargedBytes) return who + "charged bytes do not add up";
    OperationCounters sum = guest.counters();
    if (sum.pages != guest.pages || sum.objects != objects[0] + objects[1] ||
        sum.sameFilledPages + sum.sharedPages + sum.compressedPages + sum.rawPages + sum.damagedPages != sum.pages) {
      return who + "counters of its pools do not add up";
    }
    if (sum.putsTotal != sum.putsGoodTotal + sum.putsRefusedCapacityTotal + sum.putsRefusedLimitTotal +
                             sum.putsRefusedCapTotal + sum.putsRefusedFrozenTotal ||
        sum.getsTotal != sum.getsFoundTotal + sum.getsMissedTotal + sum.getsCorruptTotal) {
      return who + "results do not add up to requests";
    }
  }
  std::sort(named.begin(), named.end());
  for (size_t i = 0; i < named.size();) {
    size_t j = i;
    while (j < named.size() && named[j] == named[i]) j++;
    if (entryReferences(binOf(named[i]).entryOf(named[i])) != j - i) return "a block's references do not add up";
    i = j;
  }
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
  if (references != named.size()) return "blocks are referenced by nobody";
  SpanTable::Usage usage = table.usage();
  if (spans != usage.takenFrames) return "spans taken are not all owned";
  if (usage.usedBytes > usage.capacityBytes) return "used exceeds the capacity";
  if (dataBytes + metadataBytes + usage.fixedBytes + usage.borrowedBytes > usage.usedBytes) {
    return "data and metadata exceed what is used";
  }
  return "";
}

}  // namespace tmemd
