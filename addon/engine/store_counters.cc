// Counters, as they are told. store_check.cc counts them anew.
#include <algorithm>

#include "engine/store_impl.h"

namespace tmemd {

StoreCounters Store::counters() const {
  // Guests and groups stay while it is held.
  std::lock_guard<std::mutex> control(impl_->controlMutex);
  StoreCounters out;
  SpanTable::Usage usage = impl_->table.usage();
  out.capacityBytes = usage.capacityBytes;
  out.usedBytes = usage.usedBytes;
  out.hugeBytes = usage.hugeBytes;
  out.reservedBytes = usage.reservedBytes;
  out.metadataBytes = usage.fixedBytes + usage.borrowedBytes + impl_->records.slab().metadataBytes();
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
    out.metadataBytes += guest.cellMetadataBytes();
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

}  // namespace tmemd
