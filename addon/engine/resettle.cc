// What the background does with one page: another form, another place, an entry in the index.
//
// The page is in hand (leaf_walk.h): its span is pinned, and no lock is held while it is
// verified, decoded, encoded and stored anew. Then, with the shard locked, its slot is looked at
// again: if it still holds the same value that is still the block, for while it is pinned nobody takes its
// entry; and one store makes it name the new one, as a put's would.
#include <algorithm>

#include "engine/store_impl.h"

namespace tmemd {

namespace {

bool wasTried(Codec codec, bool coldest) {
  return codec == Codec::kZstd || codec == Codec::kLz4Final || (codec == Codec::kLz4Settled && !coldest);
}

}  // namespace

void Store::Impl::resettle(WorkerContext& context, SettlingEncoder& encoder, Guest& guest,
                           const PageInHand& page, int level) {
  CodecScratch& codec = context.scratch().codec;
  Bin& bin = guest.group.bin;
  bool coldest = level > 1;
  if (decodePage(codec, hash, page.entry, page.bytes(), codec.pages)) {
    uint64_t contentHash =
        options.weakHashForTest ? 1 : PageHash::content(hash.page(codec.pages), guest.group.salt);
    // Another key's slot may have brought the same page further already.
    KeptPage made = anotherCopy(context, bin, contentHash, page.loc(), [&](Loc, Entry entry) {
      return wasTried(entryCodec(entry), coldest) && entryLength(entry) <= entryLength(page.entry);
    });
    if (!made.value) {
      std::optional<EncodedPage> smaller = encoder.encode(hash, codec.pages, page.entry, coldest);
      if (!smaller) bin.markTried(page.loc(), page.entry, SettlingEncoder::tried(coldest));
      if (smaller) made = {bin.store(*smaller), smaller->lengthBytes, smaller->codec};
      if (made.value) index.insert(contentHash, made.value, page.loc());
    }
    if (made.value) return replaceBlock(guest, page, made);
  }
  table.unpin(spanOf(page.value));
}

void Store::Impl::moveOut(WorkerContext& context, Guest& guest, const PageInHand& page) {
  CodecScratch& codec = context.scratch().codec;
  Bin& bin = guest.group.bin;
  if (decodePage(codec, hash, page.entry, page.bytes(), codec.pages)) {
    uint64_t contentHash =
        options.weakHashForTest ? 1 : PageHash::content(hash.page(codec.pages), guest.group.salt);
    // Of a block that several slots name, the first is moved and the others follow it.
    KeptPage made = anotherCopy(context, bin, contentHash, page.loc(),
                                [&](Loc loc, Entry) { return !bin.isDraining(loc); });
    if (!made.value) {
      EncodedPage same{page.bytes(), entryLength(page.entry), entryCodec(page.entry),
                       entryChecksum(page.entry)};
      made = {bin.store(same), same.lengthBytes, same.codec};
      if (made.value) index.insert(contentHash, made.value, page.loc());
    }
    if (made.value) return replaceBlock(guest, page, made);
  }
  table.unpin(spanOf(page.value));
}

void Store::Impl::reindex(WorkerContext& context, Guest& guest, const PageInHand& page) {
  CodecScratch& codec = context.scratch().codec;
  bool intact = decodePage(codec, hash, page.entry, page.bytes(), codec.pages);
  table.unpin(spanOf(page.value));
  if (!intact) return;
  uint64_t contentHash =
      options.weakHashForTest ? 1 : PageHash::content(hash.page(codec.pages), guest.group.salt);
  std::array<Loc, DedupIndex::kCandidatesMax> candidates;
  auto end = candidates.begin() + index.find(contentHash, candidates);
  // One that went meanwhile leaves a stale entry, as many do.
  if (std::find(candidates.begin(), end, page.loc()) == end) index.insert(contentHash, page.loc(), 0);
}

void Store::Impl::replaceBlock(Guest& guest, const PageInHand& page, const KeptPage& by) {
  Bin& bin = guest.group.bin;
  PageMap::Shard& shard = guest.map.shard(page.shard);
  SpinGuard guard(shard.lock);
  bool still = LeafWalk::shardOfLeaf(table, guest, page.leaf) == page.shard &&
               shard.leaf(page.leaf).slot[page.slot] == page.value;
  table.unpin(spanOf(page.value));  // before the block is freed, so that its entry is not retired
  if (!still) {
    bin.unref(by.value);
    return;
  }
  Leaf& leaf = shard.leaf(page.leaf);
  KeptPage to = by;
  to.value |= page.value & kSharedBit;
  setSlot(leaf, page.slot, to.value);
  bin.unref(page.loc());
  // A copy found elsewhere may be of another kind: stored raw, say, where this one was compressed. The
  // pool may be a dying one: it counts its pages until they are dropped.
  Pool& pool = *guest.poolOf(shard.object(leaf.object));
  countMoved(guest, pool, {page.value, entryLength(page.entry), entryCodec(page.entry)}, to);
}

// A block other than `from` with the content in the scratch page that fits(loc, entry), referenced once more.
template <typename Fits>
Store::Impl::KeptPage Store::Impl::anotherCopy(WorkerContext& context, Bin& bin, uint64_t contentHash,
                                               Loc from, Fits fits) {
  std::array<Loc, DedupIndex::kCandidatesMax> candidates;
  uint32_t count = index.find(contentHash, candidates);
  for (uint32_t i = 0; i < count; i++) {
    Loc loc = candidates[i];
    bool saturated;
    if (loc == from || !bin.tryShare(loc, &saturated)) continue;
    Entry entry;
    if (sameContent(context, context.page(), loc, &entry) && fits(loc, entry)) {
      return {loc, entryLength(entry), entryCodec(entry)};
    }
    bin.unref(loc);
  }
  return {kEmptySlot, 0, Codec::kPlain};
}

}  // namespace tmemd
