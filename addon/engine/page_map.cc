#include "engine/page_map.h"

#include <cassert>
#include <cstring>

namespace tmemd {

PageMap::PageMap(SpanTable& table, ObjectHash hash, const void* context)
    : table_(table), hash_(hash), context_(context) {
  for (Shard& shard : shards_) {
    shard.table_ = &table_;
    shard.map_ = this;
  }
}

PageMap::~PageMap() { table_.giveBack(chargedBytes()); }

uint64_t PageMap::Shard::leafHash(uint64_t hash, uint32_t number) {
  uint64_t x = (hash + number) * 0x9e3779b97f4a7c15u;
  return (x ^ x >> 29) >> 8;
}

namespace {

bool isNamed(const Object& object, uint32_t pool, const uint64_t oid[3]) {
  return object.poolTag == pool + 1 && std::memcmp(object.oid, oid, sizeof object.oid) == 0;
}

}  // namespace

CellRef PageMap::Shard::findObject(uint64_t hash, uint32_t pool, const uint64_t oid[3]) const {
  for (CellRef ref = objects_.head(objectHash(hash)); ref;) {
    const Object& candidate = object(ref);
    if (isNamed(candidate, pool, oid)) return ref;
    ref = candidate.next;
  }
  return 0;
}

CellRef PageMap::Shard::findLeaf(uint64_t hash, uint32_t pool, const uint64_t oid[3], uint32_t number) const {
  for (CellRef ref = leaves_.head(leafHash(hash, number)); ref;) {
    const Leaf& candidate = leaf(ref);
    if (candidate.number == number && isNamed(object(candidate.object), pool, oid)) return ref;
    ref = candidate.next;
  }
  return 0;
}

CellRef PageMap::Shard::findLeaf(uint64_t hash, CellRef objectRef, uint32_t number) const {
  for (CellRef ref = leaves_.head(leafHash(hash, number)); ref;) {
    const Leaf& candidate = leaf(ref);
    if (candidate.object == objectRef && candidate.number == number) return ref;
    ref = candidate.next;
  }
  return 0;
}

CellRef PageMap::Shard::makeObject(uint64_t hash, uint32_t pool, const uint64_t oid[3], Slabs slabs) {
  if (CellRef found = findObject(hash, pool, oid)) return found;
  CellRef ref = slabs.objects.allocate();
  if (!ref) return 0;
  Object& made = object(ref);
  std::memcpy(made.oid, oid, sizeof made.oid);
  made.poolTag = pool + 1;
  linkObject(hash, ref);
  // release: recovery takes a cell with a check for an object with a name.
  std::atomic_ref<uint32_t>(made.check).store(table_->check().ofObject(ref, pool + 1, oid),
                                              std::memory_order_release);
  return ref;
}

CellRef PageMap::Shard::makeLeaf(uint64_t hash, CellRef objectRef, uint32_t number, Slabs slabs) {
  if (CellRef found = findLeaf(hash, objectRef, number)) return found;
  CellRef ref = slabs.leaves.allocate();
  if (!ref) return 0;
  Leaf& made = leaf(ref);
  made.number = number;
  made.object = objectRef;
  made.slotChecks[0] = made.slotChecks[1] = table_->check().ofNoSlots();
  linkLeaf(hash, ref, objectRef);
  // release: recovery takes a cell with a check for a leaf with a name.
  std::atomic_ref<uint32_t>(made.nameCheck).store(table_->check().ofLeafName(ref, objectRef, number),
                                                  std::memory_order_release);
  return ref;
}

bool PageMap::Shard::makeRoom() {
  bool forObject = objects_.makeRoom(objectCount_, *table_, nextOfObjects(),
                                     [this](CellRef ref) { return objectHash(hashOf(object(ref))); });
  bool forLeaf = leaves_.makeRoom(leafCount_, *table_, nextOfLeaves(), [this](CellRef ref) {
    return leafHash(hashOf(object(leaf(ref).object)), leaf(ref).number);
  });
  return forObject && forLeaf;
}

void PageMap::Shard::linkObject(uint64_t hash, CellRef ref) {
  CellRef& head = objects_.head(objectHash(hash));
  object(ref).next = head;
  head = ref;
  objectCount_++;
}

void PageMap::Shard::linkLeaf(uint64_t hash, CellRef ref, CellRef objectRef) {
  Leaf& made = leaf(ref);
  Object& parent = object(objectRef);
  made.previousOfObject = 0;
  made.nextOfObject = parent.firstLeaf;
  if (parent.firstLeaf) leaf(parent.firstLeaf).previousOfObject = ref;
  parent.firstLeaf = ref;
  parent.leafCount++;
  CellRef& head = leaves_.head(leafHash(hash, made.number));
  made.next = head;
  head = ref;
  leafCount_++;
}

bool PageMap::Shard::adoptObject(uint64_t hash, CellRef ref) {
  Object& found = object(ref);
  if (findObject(hash, found.poolTag - 1, found.oid)) return false;
  found.pages = 0;
  found.firstLeaf = 0;
  found.leafCount = 0;
  makeRoom();
  linkObject(hash, ref);
  return true;
}

bool PageMap::Shard::adoptLeaf(uint64_t hash, CellRef ref) {
  Leaf& found = leaf(ref);
  if (findLeaf(hash, found.object, found.number)) return false;
  makeRoom();
  linkLeaf(hash, ref, found.object);
  return true;
}

void PageMap::Shard::removeLeaf(uint64_t hash, CellRef ref, Slabs slabs) {
  Leaf& gone = leaf(ref);
  assert(gone.used == 0);
  CellRef* link = &leaves_.head(leafHash(hash, gone.number));
  while (*link != ref) link = &leaf(*link).next;
  *link = gone.next;
  Object& parent = object(gone.object);
  (gone.previousOfObject ? leaf(gone.previousOfObject).nextOfObject : parent.firstLeaf) = gone.nextOfObject;
  if (gone.nextOfObject) leaf(gone.nextOfObject).previousOfObject = gone.previousOfObject;
  parent.leafCount--;
  leafCount_--;
  leaves_.giveRoom(leafCount_, *table_, nextOfLeaves());
  slabs.leaves.free(ref);
}

void PageMap::Shard::removeObject(uint64_t hash, CellRef ref, Slabs slabs) {
  Object& gone = object(ref);
  assert(gone.leafCount == 0);
  CellRef* link = &objects_.head(objectHash(hash));
  while (*link != ref) link = &object(*link).next;
  *link = gone.next;
  objectCount_--;
  objects_.giveRoom(objectCount_, *table_, nextOfObjects());
  slabs.objects.free(ref);
}

}  // namespace tmemd
