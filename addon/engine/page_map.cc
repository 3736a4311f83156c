#include "engine/page_map.h"

#include <cassert>
#include <cstring>

namespace tmemd {

PageMap::PageMap(SpanTable& table, ObjectHash hash, const void* context)
    : table_(table), hash_(hash), context_(context) {
  for (Shard& shard : shards_) {
    shard.table_ = &table_;
    shard.map_ = this;
    shard.objects_.assign(1, 0);
    shard.leaves_.assign(1, 0);
  }
}

PageMap::~PageMap() {
  for (Shard& shard : shards_) {
    table_.giveBack(chargedBytes(shard.objects_) + chargedBytes(shard.leaves_));
  }
}

uint64_t PageMap::Shard::leafHash(CellRef object, uint32_t number) {
  uint64_t x = (uint64_t{object} << 32 | number) * 0x9e3779b97f4a7c15u;
  return x ^ x >> 29;
}

CellRef PageMap::Shard::findObject(uint64_t hash, uint32_t pool, const uint64_t oid[3]) const {
  for (CellRef ref = objects_[bucketOf(hash, objects_.size())]; ref;) {
    const Object& candidate = object(ref);
    if (candidate.poolTag == pool + 1 && std::memcmp(candidate.oid, oid, sizeof candidate.oid) == 0) return ref;
    ref = candidate.next;
  }
  return 0;
}

CellRef PageMap::Shard::findLeaf(CellRef objectRef, uint32_t number) const {
  for (CellRef ref = leaves_[bucketOf(leafHash(objectRef, number), leaves_.size())]; ref;) {
    const Leaf& candidate = leaf(ref);
    if (candidate.object == objectRef && candidate.number == number) return ref;
    ref = candidate.next;
  }
  return 0;
}

uint64_t PageMap::chargedBytes(const std::vector<CellRef>& heads) {
  return heads.size() == 1 ? 0 : heads.size() * sizeof(CellRef);
}

bool PageMap::Shard::resize(std::vector<CellRef>& heads, uint64_t count) {
  if (!table_->borrow(count * sizeof(CellRef))) return false;
  table_->giveBack(chargedBytes(heads));
  std::vector<CellRef>(count, 0).swap(heads);
  return true;
}

void PageMap::Shard::growObjects(const PageMap& map) {
  std::vector<CellRef> all;
  all.reserve(objectCount_);
  forEachObject([&](CellRef ref) { all.push_back(ref); });
  if (!resize(objects_, objects_.size() == 1 ? 16 : objects_.size() * 2)) return;
  for (CellRef ref : all) {
    Object& cell = object(ref);
    CellRef& head = objects_[bucketOf(map.hashOf(cell.poolTag - 1, cell.oid), objects_.size())];
    cell.next = head;
    head = ref;
  }
}

void PageMap::Shard::growLeaves() {
  std::vector<CellRef> old = leaves_;
  if (!resize(leaves_, leaves_.size() == 1 ? 16 : leaves_.size() * 2)) return;
  for (CellRef ref : old) {
    while (ref) {
      Leaf& cell = leaf(ref);
      CellRef next = cell.next;
      CellRef& head = leaves_[bucketOf(leafHash(cell.object, cell.number), leaves_.size())];
      cell.next = head;
      head = ref;
      ref = next;
    }
  }
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

CellRef PageMap::Shard::makeLeaf(CellRef objectRef, uint32_t number, Slabs slabs) {
  if (CellRef found = findLeaf(objectRef, number)) return found;
  CellRef ref = slabs.leaves.allocate();
  if (!ref) return 0;
  Leaf& made = leaf(ref);
  made.number = number;
  made.object = objectRef;
  linkLeaf(ref, objectRef);
  // release: recovery takes a cell with a check for a leaf with a name.
  std::atomic_ref<uint32_t>(made.nameCheck).store(table_->check().ofLeafName(ref, objectRef, number),
                                                  std::memory_order_release);
  return ref;
}

void PageMap::Shard::linkObject(uint64_t hash, CellRef ref) {
  if (objectCount_ >= objects_.size()) growObjects(*map_);
  CellRef& head = objects_[bucketOf(hash, objects_.size())];
  object(ref).next = head;
  head = ref;
  objectCount_++;
}

void PageMap::Shard::linkLeaf(CellRef ref, CellRef objectRef) {
  if (leafCount_ >= leaves_.size()) growLeaves();
  Leaf& made = leaf(ref);
  Object& parent = object(objectRef);
  made.previousOfObject = 0;
  made.nextOfObject = parent.firstLeaf;
  if (parent.firstLeaf) leaf(parent.firstLeaf).previousOfObject = ref;
  parent.firstLeaf = ref;
  parent.leafCount++;
  CellRef& head = leaves_[bucketOf(leafHash(objectRef, made.number), leaves_.size())];
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
  linkObject(hash, ref);
  return true;
}

bool PageMap::Shard::adoptLeaf(CellRef ref) {
  Leaf& found = leaf(ref);
  if (findLeaf(found.object, found.number)) return false;
  linkLeaf(ref, found.object);
  return true;
}

void PageMap::Shard::removeLeaf(CellRef ref, Slabs slabs) {
  Leaf& gone = leaf(ref);
  assert(gone.used == 0);
  CellRef* link = &leaves_[bucketOf(leafHash(gone.object, gone.number), leaves_.size())];
  while (*link != ref) link = &leaf(*link).next;
  *link = gone.next;
  Object& parent = object(gone.object);
  (gone.previousOfObject ? leaf(gone.previousOfObject).nextOfObject : parent.firstLeaf) = gone.nextOfObject;
  if (gone.nextOfObject) leaf(gone.nextOfObject).previousOfObject = gone.previousOfObject;
  parent.leafCount--;
  leafCount_--;
  retire(gone);
  slabs.leaves.free(ref);
}

void PageMap::Shard::removeObject(uint64_t hash, CellRef ref, Slabs slabs) {
  Object& gone = object(ref);
  assert(gone.leafCount == 0);
  CellRef* link = &objects_[bucketOf(hash, objects_.size())];
  while (*link != ref) link = &object(*link).next;
  *link = gone.next;
  objectCount_--;
  retire(gone);
  slabs.objects.free(ref);
}

CellRef PageMap::Shard::nextObjectOfPool(uint32_t pool, size_t* bucket) const {
  for (; *bucket < objects_.size(); ++*bucket) {
    for (CellRef ref = objects_[*bucket]; ref; ref = object(ref).next) {
      if (object(ref).poolTag == pool + 1) return ref;
    }
  }
  return 0;
}

}  // namespace tmemd
