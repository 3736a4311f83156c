// Recovery of the blocks that leaves name. See recovery.h.
#include <algorithm>
#include <array>
#include <cstring>

#include "engine/recovery.h"

namespace tmemd {

// Notes the blocks a leaf names; a slot that names what cannot be one is damaged.
void Recovery::nameBlocks(Guest& guest, Leaf& leaf) {
  bool changed = false;
  for (uint32_t& value : leaf.slot) {
    if (isPlainSlot(value)) continue;
    SpanNumber span = spanOf(value);
    SpanKind kind = span != 0 && span < table_.spanCount() ? table_.kindOf(span) : SpanKind::kFree;
    uint32_t bin = kind == SpanKind::kFree ? 0 : table_.binOf(span);
    if ((kind == SpanKind::kShared && bin == guest.group.bin.id()) ||
        (kind == SpanKind::kReserve && bin == guest.reserveBin.id())) {
      named_.push_back(value & ~kSharedBit);
    } else {
      value = kDamagedSlot;
      changed = true;
    }
  }
  if (changed) setWhole(leaf);
}

void Recovery::findBlocks() {
  // By span: a count for each, then each to its place.
  std::vector<uint32_t> begin(table_.spanCount() + 1);
  for (Loc loc : named_) begin[spanOf(loc) + 1]++;
  for (uint32_t span = 0; span < table_.spanCount(); span++) begin[span + 1] += begin[span];
  std::vector<Loc> bySpan(named_.size());
  std::vector<uint32_t> next(begin.begin(), begin.end() - 1);
  for (Loc loc : named_) bySpan[next[spanOf(loc)]++] = loc;
  for (SpanNumber span : blockSpans_) {
    takeBlocks(span, {bySpan.data() + begin[span], begin[span + 1] - begin[span]});
  }
  if (bad_.empty()) return;
  std::sort(bad_.begin(), bad_.end());
  for (GuestInHand& in : guests_) markDamaged(in);
}

void Recovery::takeBlocks(SpanNumber span, std::span<const Loc> named) {
  std::array<uint32_t, kEntriesPerSpanMax> counts{};
  for (Loc loc : named) counts[entryOf(loc)]++;
  // Entries grow down from the end; those of lower numbers lie above.
  uint32_t entries = 0;
  for (uint32_t i = 0; i < kEntriesPerSpanMax; i++) {
    if (counts[i] > 0) entries = i + 1;
  }
  auto lose = [&](uint32_t i) {
    bad_.push_back(makeLoc(span, i));
    counts[i] = 0;
  };
  for (uint32_t i = 0; i < entries; i++) {
    if (counts[i] == 0) continue;
    Entry e = table_.entry(span, i).load(std::memory_order_relaxed);
    uint32_t end = entryOffsetUnits(e) * 8 + unitsFor(entryLength(e)) * 8;
    if (counts[i] > kMaxReferences || entryOffsetUnits(e) * 8 < sizeof(SpanHeader) ||
        end > kSpanBytes - entries * sizeof(Entry)) {
      lose(i);
    }
  }
  if (overlaps(span, {counts.data(), entries})) {
    // An entry is damaged: those whose bytes are right stay.
    for (uint32_t i = 0; i < entries; i++) {
      if (counts[i] == 0) continue;
      Entry e = table_.entry(span, i).load(std::memory_order_relaxed);
      const std::byte* bytes = table_.bytes(span) + entryOffsetUnits(e) * 8;
      if (store_.hash.stored(bytes, entryLength(e), entryCodec(e)) != entryChecksum(e)) lose(i);
    }
  }
  while (entries > 0 && counts[entries - 1] == 0) entries--;
  store_.bins[table_.binOf(span)].load(std::memory_order_relaxed)->adopt(span, {counts.data(), entries});
}

bool Recovery::overlaps(SpanNumber span, std::span<const uint32_t> counts) const {
  std::array<uint8_t, kSpanBytes / 8> covered{};
  for (uint32_t i = 0; i < counts.size(); i++) {
    if (counts[i] == 0) continue;
    Entry e = table_.entry(span, i).load(std::memory_order_relaxed);
    uint8_t* at = covered.data() + entryOffsetUnits(e);
    uint32_t units = unitsFor(entryLength(e));
    if (std::memchr(at, 1, units)) return true;
    std::memset(at, 1, units);
  }
  return false;
}

void Recovery::markDamaged(GuestInHand& in) {
  forEachLeaf(*in.guest, [&](PageMap::Shard& shard, CellRef, CellRef ref) {
    Leaf& leaf = shard.leaf(ref);
    bool changed = false;
    for (uint32_t& value : leaf.slot) {
      if (!isBlock(value) || !std::binary_search(bad_.begin(), bad_.end(), value & ~kSharedBit)) continue;
      value = kDamagedSlot;
      changed = true;
    }
    if (changed) setWhole(leaf);
  });
}

}  // namespace tmemd
