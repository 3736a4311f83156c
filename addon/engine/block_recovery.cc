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
      references_.note(value);
    } else {
      value = kDamagedSlot;
      changed = true;
    }
  }
  if (changed) setWhole(leaf);
}

void Recovery::findBlocks() {
  references_.makeRoom();
  for (GuestInHand& in : guests_) {
    forEachLeaf(*in.guest, [&](PageMap::Shard& shard, CellRef, CellRef ref) {
      for (uint32_t value : shard.leaf(ref).slot) {
        if (isBlock(value)) references_.count(value);
      }
    });
  }
  for (SpanNumber span : blockSpans_) takeBlocks(span);
  if (!anyLost_) return;
  for (GuestInHand& in : guests_) markDamaged(in);
}

void Recovery::takeBlocks(SpanNumber span) {
  std::span<uint8_t> references = references_.of(span);
  std::array<uint8_t, kEntriesPerSpanMax> counts{};
  std::copy(references.begin(), references.end(), counts.begin());
  // Entries grow down from the end; those of lower numbers lie above.
  uint32_t entries = static_cast<uint32_t>(references.size());
  auto lose = [&](uint32_t i) {
    references[i] = kLost;
    counts[i] = 0;
    anyLost_ = true;
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

bool Recovery::overlaps(SpanNumber span, std::span<const uint8_t> counts) const {
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
      if (!isBlock(value) || references_.at(value) != kLost) continue;
      value = kDamagedSlot;
      changed = true;
    }
    if (changed) setWhole(leaf);
  });
}

}  // namespace tmemd
