#include "engine/leaf_walk.h"

#include <algorithm>

namespace tmemd {

std::optional<uint32_t> LeafWalk::shardOfLeaf(SpanTable& table, Guest& guest, CellRef ref) {
  std::optional<uint32_t> shard;
  guest.persistentLeaves.lookAt(ref, [&] {
    const Object& object = table.cell<Object>(table.cell<Leaf>(ref).object);
    shard = PageMap::shardOf(guest.map.hashOf(object.poolTag - 1, object.oid));
  });
  return shard;
}

void LeafWalk::nextLeaf() {
  at_.slot = 0;
  if (++at_.cell < CellSlab::cellsPerSpan(sizeof(Leaf))) return;
  at_.cell = 0;
  at_.span++;
}

// The span at the cursor, or the next one, is one of leaves; false when none was met yet.
bool LeafWalk::findSpan() {
  SpanNumber end = std::min(table_.usedNumbersEnd(), at_.span + kSpansPerStep);
  while (at_.span < end && !guest_.persistentLeaves.owns(at_.span)) at_.span++;
  return at_.span < end;
}

LeafWalk::Step LeafWalk::step(LeafVisitor& visitor, PageInHand* page) {
  if (at_.cell == 0 && at_.slot == 0 && !findSpan()) {
    return at_.span >= table_.usedNumbersEnd() ? Step::kEnd : Step::kOn;
  }
  CellRef ref = makeCellRef(at_.span, at_.cell);
  std::optional<uint32_t> shardIndex = shardOfLeaf(table_, guest_, ref);
  if (!shardIndex) {
    nextLeaf();
    return Step::kOn;
  }
  PageMap::Shard& shard = guest_.map.shard(*shardIndex);
  SpinGuard guard(shard.lock);
  if (shardOfLeaf(table_, guest_, ref) != shardIndex || !visitor.enters(shard.leaf(ref), at_.slot > 0)) {
    nextLeaf();
    return Step::kOn;
  }
  Leaf& leaf = shard.leaf(ref);
  for (uint32_t looks = 0; looks < kSlotsPerStep && at_.slot < kLeafSlots; looks++) {
    uint32_t slot = at_.slot++;
    uint32_t value = leaf.slot[slot];
    if (!isBlock(value) || !visitor.admits(value & ~kSharedBit)) continue;
    table_.pin(spanOf(value));
    std::byte* span = table_.bytes(spanOf(value));
    Entry entry = SpanTable::entryAt(span, entryOf(value)).load(std::memory_order_relaxed);
    if (visitor.wants(entry)) {
      *page = {ref, *shardIndex, slot, value, entry, span};
      return Step::kPage;
    }
    table_.unpin(spanOf(value));
  }
  if (at_.slot == kLeafSlots) {
    visitor.leaves(leaf);
    nextLeaf();
  }
  return Step::kOn;
}

}  // namespace tmemd
