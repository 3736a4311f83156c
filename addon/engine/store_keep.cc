// From a staged page to what its slot will hold: a fill, one more reference to a block of the
// same content, or a block of its own.
//
// The cache misses on the way to a duplicate overlap among the pages of one put: the index is
// asked for the buckets of all, then for the entries these name, then for the blocks. A block
// found so is referenced until its page's turn comes; was it the wrong one, or none, the index
// is asked again, for pages before this one may have been the same.
#include <array>
#include <cstring>

#include "engine/store_impl.h"

namespace tmemd {

namespace {

void prefetchBlock(const std::byte* bytes, Entry entry) {
  for (uint32_t at = 0; at < entryLength(entry); at += 64) __builtin_prefetch(bytes + at);
}

}  // namespace

void Store::Impl::hashPage(const Guest& guest, PutInHand& hand) const {
  hand.pageHash = hash.page(hand.page);
  hand.contentHash = options.weakHashForTest ? 1 : PageHash::content(hand.pageHash, guest.group.salt);
}

void Store::Impl::lookAhead(Guest& guest, std::span<PutInHand> pages) {
  for (PutInHand& hand : pages) {
    hand.lookedAhead = true;
    hand.word = repeatedWord(hand.page);
    if (hand.word) continue;
    hashPage(guest, hand);
    index.prefetch(hand.contentHash);
  }
  std::array<Loc, kPutPagesMax> likely{};
  for (size_t i = 0; i < pages.size(); i++) {
    std::array<Loc, DedupIndex::kCandidatesMax> candidates;
    if (pages[i].word || index.find(pages[i].contentHash, candidates) == 0) continue;
    likely[i] = candidates[0];
    table.prefetchEntry(likely[i]);
  }
  for (size_t i = 0; i < pages.size(); i++) {
    bool saturated;
    Bin* bin = likely[i] ? sharedBin(guest, likely[i]) : nullptr;
    if (!bin || !bin->tryShare(likely[i], &saturated)) continue;
    pages[i].referenced = likely[i];
    SpanNumber span = spanOf(likely[i]);
    table.pin(span);
    std::byte* base = table.bytes(span);
    Entry entry = SpanTable::entryAt(base, entryOf(likely[i])).load(std::memory_order_relaxed);
    prefetchBlock(base + entryOffsetUnits(entry) * 8, entry);
    table.unpin(span);
  }
}

void Store::Impl::letGo(PutInHand& hand) {
  if (hand.referenced) binOf(hand.referenced).unref(hand.referenced);
  hand.referenced = 0;
}

// A slot value that stands for the page.
Store::Impl::KeptPage Store::Impl::keepPage(WorkerContext& context, Guest& guest, bool persistent, PutInHand& hand) {
  CodecScratch& codec = context.scratch().codec;
  if (!hand.lookedAhead) hand.word = repeatedWord(hand.page);
  if (hand.word) {
    uint64_t word = *hand.word;
    // Ephemeral pages all have blocks, so that eviction finds them.
    if (persistent && word == (word & 0xff) * 0x0101010101010101u) {
      return {kFirstFillSlot + static_cast<uint32_t>(word & 0xff), 0, Codec::kPlain};
    }
    return storeBlock(context, guest, persistent, encodeRepeated(hash, &word));
  }
  if (codec.storedRaw) {
    // Another may follow. What LZ4 makes of a page is not worth it.
    Bin& bin = !persistent ? guest.ephemeralBin : guest.reserveHasRoom() ? guest.reserveBin : guest.group.bin;
    bin.prefetchRoom(kPageBytes);
  }
  if (!hand.lookedAhead) hashPage(guest, hand);
  if (!persistent) return storeBlock(context, guest, false, encodePage(codec, hash, hand.page, hand.pageHash));
  Loc stale = 0;
  if (KeptPage shared = shareDuplicate(context, guest, hand, &stale); shared.value) return shared;
  KeptPage kept = storeBlock(context, guest, true, encodePage(codec, hash, hand.page, hand.pageHash));
  if (kept.value) index.insert(hand.contentHash, kept.value, stale);
  return kept;
}

// The bin of a block that this guest's pages may share; null: they may not.
Bin* Store::Impl::sharedBin(Guest& guest, Loc loc) const {
  uint32_t binId = table.binOf(spanOf(loc));
  if (binId == guest.group.bin.id()) return &guest.group.bin;
  if (binId == guest.reserveBin.id()) return &guest.reserveBin;
  return nullptr;
}

// A referenced block with the page's content that this guest may share. `stale`
// is an index entry worth replacing when there is none.
Store::Impl::KeptPage Store::Impl::shareDuplicate(WorkerContext& context, Guest& guest, PutInHand& hand, Loc* stale) {
  Entry entry;
  if (Loc loc = hand.referenced) {
    if (sameContent(context, hand.page, loc, &entry)) {
      hand.referenced = 0;  // the slot's from here on
      return {loc | kSharedBit, entryLength(entry), entryCodec(entry)};
    }
    letGo(hand);
  }
  std::array<Loc, DedupIndex::kCandidatesMax> candidates;
  uint32_t count = index.find(hand.contentHash, candidates);
  for (uint32_t i = 0; i < count; i++) {
    Loc loc = candidates[i];
    Bin* bin = sharedBin(guest, loc);
    if (!bin) continue;
    bool saturated;
    if (!bin->tryShare(loc, &saturated)) {
      *stale = loc;
      continue;
    }
    if (sameContent(context, hand.page, loc, &entry)) return {loc | kSharedBit, entryLength(entry), entryCodec(entry)};
    bin->unref(loc);
  }
  return {kEmptySlot, 0, Codec::kPlain};
}

// Is a referenced block the page?
bool Store::Impl::sameContent(WorkerContext& context, const std::byte* page, Loc loc, Entry* entry) {
  CodecScratch& codec = context.scratch().codec;
  table.pin(spanOf(loc));
  std::byte* base = table.bytes(spanOf(loc));
  *entry = SpanTable::entryAt(base, entryOf(loc)).load(std::memory_order_relaxed);
  const std::byte* bytes = base + entryOffsetUnits(*entry) * 8;
  prefetchBlock(bytes, *entry);
  bool same = holdsPage(codec, page, *entry, bytes);
  table.unpin(spanOf(loc));
  return same;
}

Store::Impl::KeptPage Store::Impl::storeBlock(WorkerContext& context, Guest& guest, bool persistent,
                                              const EncodedPage& page) {
  if (persistent) {
    // Room is certain here; only a reader or another packer can be in the way. Readers of these
    // spans are this guest's own: workers, and the settler, who gets our priority until it is
    // through; of the two spares the settler has one at most. So this ends after a few pages' work.
    Backoff backoff;
    while (guest.reserveHasRoom()) {
      if (Loc loc = guest.reserveBin.store(page)) return {loc, page.lengthBytes, page.codec};
      places[guest.place].gate.passBackground();
      backoff.wait();
    }
  }
  Bin& bin = persistent ? guest.group.bin : guest.ephemeralBin;
  for (int evictions = 0;; evictions++) {
    if (Loc loc = bin.store(page)) return {loc, page.lengthBytes, page.codec};
    if (evictions == kEvictionsPerPut) context.scratch().awaited.spansInUse = true;
    if (evictions == kEvictionsPerPut || !evictForRoom(context, guest)) return {kEmptySlot, 0, page.codec};
  }
}

// Blocks the index could find; the most there are while bins come and go. Asked on the
// page path, so it does not wait for a control operation.
uint64_t Store::Impl::indexedBlocks() {
  std::unique_lock<std::mutex> control(controlMutex, std::try_to_lock);
  return control ? countIndexedBlocks() : UINT64_MAX;
}

uint64_t Store::Impl::countIndexedBlocks() const {
  uint64_t blocks = 0;
  forEachBin([&](const Bin& bin) {
    if (bin.kind() != SpanKind::kEphemeral) blocks += bin.liveBlocks();
  });
  return blocks;
}

bool Store::Impl::isIndexable(Loc loc) const {
  const Bin* bin = bins[table.binOf(spanOf(loc))].load(std::memory_order_acquire);
  return bin && bin->holds(loc);
}

}  // namespace tmemd
