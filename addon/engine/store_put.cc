// put: keep the page's bytes first, with no lock held, then publish them under
// the key in one store. A page that cannot be kept leaves the key empty.
#include <cassert>
#include <cstring>

#include "engine/store_impl.h"

namespace tmemd {

namespace {

// Spans evicted for one put at most.
constexpr int kEvictionsPerPut = 8;

}  // namespace

Status Store::put(WorkerContext& context, GuestId guestId, const PageKey& key) {
  Impl::GuestPlace* at = impl_->place(guestId);
  GateEntry entry(at->gate);
  Guest* guest = Impl::guestIn(*at, guestId);
  if (!guest || !guest->sessionId) return Status::kNoSession;
  Pool* pool = guest->pool(key.pool);
  if (!pool) return Status::kNoPool;
  return impl_->putPage(context, *guest, *pool, key);
}

Status Store::Impl::putPage(WorkerContext& context, Guest& guest, Pool& pool, const PageKey& key) {
  bump(pool.counters.putsTotal);
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
  KeptPage page = keepPage(context, guest, pool.persistent);
  if (page.value == kEmptySlot) return refuse(guest, pool, key, Refusal::kCapacity);
  bool replaced = false;
  Refusal refusal = publish(context, guest, pool, key, page, &replaced);
  if (refusal != Refusal::kNone) return refuse(guest, pool, key, refusal);
  bump(pool.counters.putsGoodTotal);
  if (replaced) bump(pool.counters.putsReplacedTotal);
  return Status::kOk;
}

Status Store::Impl::refuse(Guest& guest, Pool& pool, const PageKey& key, Refusal why) {
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

// A slot value that stands for context.page().
Store::Impl::KeptPage Store::Impl::keepPage(WorkerContext& context, Guest& guest, bool persistent) {
  CodecScratch& codec = context.scratch().codec;
  if (std::optional<uint64_t> word = repeatedWord(codec.page)) {
    // Ephemeral pages all have blocks, so that eviction finds them.
    if (persistent && *word == (*word & 0xff) * 0x0101010101010101u) {
      return {kFirstFillSlot + static_cast<uint32_t>(*word & 0xff), 0, Codec::kPlain};
    }
    return storeBlock(context, guest, persistent, encodeRepeated(hash, &*word));
  }
  if (codec.storedRaw) {
    // Another may follow. What LZ4 makes of a page is not worth it.
    Bin& bin = !persistent ? guest.ephemeralBin : guest.reserveHasRoom() ? guest.reserveBin : guest.group.bin;
    bin.prefetchRoom(kPageBytes);
  }
  uint64_t pageHash = hash.page(codec.page);
  if (!persistent) return storeBlock(context, guest, false, encodePage(codec, hash, pageHash));
  uint64_t contentHash = options.weakHashForTest ? 1 : PageHash::content(pageHash, guest.group.salt);
  Loc stale = 0;
  if (KeptPage shared = shareDuplicate(context, guest, contentHash, &stale); shared.value) return shared;
  KeptPage kept = storeBlock(context, guest, true, encodePage(codec, hash, pageHash));
  if (kept.value) index.insert(contentHash, kept.value, stale);
  return kept;
}

// A referenced block with the page's content that this guest may share. `stale`
// is an index entry worth replacing when there is none.
Store::Impl::KeptPage Store::Impl::shareDuplicate(WorkerContext& context, Guest& guest, uint64_t contentHash,
                                                  Loc* stale) {
  std::array<Loc, DedupIndex::kCandidatesMax> candidates;
  uint32_t count = index.find(contentHash, candidates);
  for (uint32_t i = 0; i < count; i++) {
    Loc loc = candidates[i];
    uint32_t binId = table.binOf(spanOf(loc));
    Bin* bin = binId == guest.group.bin.id()  ? &guest.group.bin
               : binId == guest.reserveBin.id() ? &guest.reserveBin
                                                : nullptr;
    if (!bin) continue;
    bool saturated;
    if (!bin->tryShare(loc, &saturated)) {
      *stale = loc;
      continue;
    }
    Entry entry;
    if (sameContent(context, loc, &entry)) return {loc | kSharedBit, entryLength(entry), entryCodec(entry)};
    bin->unref(loc);
  }
  return {kEmptySlot, 0, Codec::kPlain};
}

// Is a referenced block context.page()?
bool Store::Impl::sameContent(WorkerContext& context, Loc loc, Entry* entry) {
  CodecScratch& codec = context.scratch().codec;
  table.pin(spanOf(loc));
  std::byte* base = table.bytes(spanOf(loc));
  *entry = SpanTable::entryAt(base, entryOf(loc)).load(std::memory_order_relaxed);
  const std::byte* bytes = base + entryOffsetUnits(*entry) * 8;
  for (uint32_t at = 0; at < entryLength(*entry); at += 64) __builtin_prefetch(bytes + at);
  bool same = holdsPage(codec, *entry, bytes);
  table.unpin(spanOf(loc));
  return same;
}

Store::Impl::KeptPage Store::Impl::storeBlock(WorkerContext& context, Guest& guest, bool persistent,
                                              const EncodedPage& page) {
  if (persistent) {
    // Room is certain here; only a reader or another packer can be in the way.
    Backoff backoff;
    while (guest.reserveHasRoom()) {
      if (Loc loc = guest.reserveBin.store(page)) return {loc, page.lengthBytes, page.codec};
      backoff.wait();
    }
  }
  Bin& bin = persistent ? guest.group.bin : guest.ephemeralBin;
  for (int evictions = 0;; evictions++) {
    if (Loc loc = bin.store(page)) return {loc, page.lengthBytes, page.codec};
    if (evictions == kEvictionsPerPut || !evictForRoom(context, guest)) return {kEmptySlot, 0, page.codec};
  }
}

// Blocks the index could find; the most there are while bins come and go. Asked on the
// page path, so it does not wait for a control operation.
uint64_t Store::Impl::indexedBlocks() {
  std::unique_lock<std::mutex> control(controlMutex, std::try_to_lock);
  if (!control) return UINT64_MAX;
  uint64_t blocks = 0;
  forEachBin([&](const Bin& bin) {
    if (bin.kind() != SpanKind::kEphemeral) blocks += bin.liveBlocks();
  });
  return blocks;
}

Store::Impl::SlotPlace Store::Impl::find(PageMap::Shard& shard, uint64_t objectHash, const PageKey& key) const {
  SlotPlace at{&shard, objectHash, 0, 0, key.index % kLeafSlots, kEmptySlot};
  at.object = shard.findObject(objectHash, key.pool, key.object.word);
  if (!at.object) return at;
  // Name and slot of a leaf are lines apart: fetched at once, not one after the other.
  if (const Leaf* leaf = shard.likelyLeaf(at.object, key.index / kLeafSlots)) __builtin_prefetch(&leaf->slot[at.slot]);
  at.leaf = shard.findLeaf(at.object, key.index / kLeafSlots);
  if (at.leaf) at.value = shard.leaf(at.leaf).slot[at.slot];
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
  if (refusal == Refusal::kNone && !makePlace(guest, pool, key, at)) refusal = Refusal::kCapacity;
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

// The object and leaf of a key; false, with nothing changed, when cells ran out.
bool Store::Impl::makePlace(Guest& guest, Pool& pool, const PageKey& key, SlotPlace& at) {
  if (at.leaf) return true;
  PageMap::Slabs slabs = guest.slabs(pool.persistent);
  bool newObject = !at.object;
  if (newObject) at.object = at.shard->makeObject(at.objectHash, key.pool, key.object.word, slabs);
  if (!at.object) return false;
  at.leaf = at.shard->makeLeaf(at.object, key.index / kLeafSlots, slabs);
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
