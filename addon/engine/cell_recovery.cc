// Recovery of objects and leaves. See recovery.h.
#include <algorithm>

#include "engine/recovery.h"

namespace tmemd {

// What room there is for tables is shared out by how many cells each guest may have, so that none
// is left with long chains because another, who had none before, comes first.
void Recovery::findAllCells() {
  auto cellsOf = [](const GuestInHand& in) {
    return in.objectSpans.size() * CellSlab::cellsPerSpan(sizeof(Object)) +
           in.leafSpans.size() * CellSlab::cellsPerSpan(sizeof(Leaf));
  };
  uint64_t all = 0;
  for (const GuestInHand& in : guests_) all += cellsOf(in);
  uint64_t roomBytes = table_.usage().freeFrames * kSpanBytes;
  uint64_t before = 0;
  for (GuestInHand& in : guests_) {
    before += cellsOf(in);
    if (before > 0) table_.limitBorrowing(static_cast<uint64_t>(static_cast<double>(roomBytes) / all * before));
    findCells(in);
  }
  table_.limitBorrowing(UINT64_MAX);
}

void Recovery::findCells(GuestInHand& in) {
  Guest& guest = *in.guest;
  forEachCell<Object>(in.objectSpans, guest.persistentObjects, [&](CellRef ref, Object& object) {
    if (object.check != table_.check().ofObject(ref, object.poolTag, object.oid)) refuse(guest, "an object is damaged");
    Pool* pool = guest.pool(object.poolTag - 1);
    if (pool && !pool->persistent) refuse(guest, "an object is of a pool of another kind");
    object.leafCount = 0;  // until its first leaf is found
  });
  forEachCell<Leaf>(in.leafSpans, guest.persistentLeaves, [&](CellRef ref, Leaf& leaf) {
    if (leaf.nameCheck != table_.check().ofLeafName(ref, leaf.object, leaf.number) ||
        leaf.number > UINT32_MAX / kLeafSlots) {
      refuse(guest, "a leaf is damaged");
    }
    takeLeaf(in, ref);
  });
  // Leaves of pools that are gone went above; these are their objects, and such as
  // a kill left without a leaf.
  forEachCell<Object>(in.objectSpans, guest.persistentObjects, [&](CellRef ref, Object& object) {
    if (object.leafCount == 0) guest.persistentObjects.unpublish(ref);
  });
  for (SpanNumber span : in.objectSpans) guest.persistentObjects.adopt(span);
  for (SpanNumber span : in.leafSpans) guest.persistentLeaves.adopt(span);
}

// A leaf's object, which must be there as long as the leaf is.
CellRef Recovery::objectOf(const Guest& guest, const Leaf& leaf) {
  SpanNumber span = cellSpan(leaf.object);
  if (span == 0 || span >= table_.spanCount() || table_.kindOf(span) != SpanKind::kObjects ||
      table_.binOf(span) != guest.reserveBin.id() ||
      cellIndex(leaf.object) >= CellSlab::cellsPerSpan(sizeof(Object)) ||
      guest.persistentObjects.isFree(leaf.object)) {
    refuse(guest, "the object of a leaf is gone");
  }
  return leaf.object;
}

void Recovery::setWhole(Leaf& leaf) {
  leaf.slotChecks[0] = leaf.slotChecks[1] = table_.check().ofSlots(leaf);
  leaf.used = 0;
  for (uint32_t value : leaf.slot) leaf.used = static_cast<uint8_t>(leaf.used + (value != kEmptySlot));
}

void Recovery::takeLeaf(GuestInHand& in, CellRef ref) {
  Guest& guest = *in.guest;
  Leaf& leaf = table_.cell<Leaf>(ref);
  CellRef objectRef = objectOf(guest, leaf);
  Object& object = table_.cell<Object>(objectRef);
  uint32_t sum = table_.check().ofSlots(leaf);
  if (sum != leaf.slotChecks[0] && sum != leaf.slotChecks[1]) {
    // Which of them, nobody knows: none may be taken for a page, nor for none.
    std::fill(std::begin(leaf.slot), std::end(leaf.slot), kDamagedSlot);
  }
  setWhole(leaf);
  if (leaf.used == 0 || !guest.pool(object.poolTag - 1)) {
    guest.persistentLeaves.unpublish(ref);
    return;
  }
  leaf.settled = 0;
  leaf.touched = 0;
  uint64_t hash = guest.map.hashOf(object.poolTag - 1, object.oid);
  PageMap::Shard& shard = guest.map.shard(PageMap::shardOf(hash));
  if (object.leafCount == 0 && !shard.adoptObject(hash, objectRef)) refuse(guest, "an object is there twice");
  if (!shard.adoptLeaf(hash, ref)) refuse(guest, "a leaf is there twice");
  nameBlocks(guest, leaf);
}

}  // namespace tmemd
