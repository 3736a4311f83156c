// From a page's key to its slot: the objects and leaves of one guest.
//
// An object is found by its name, a leaf by its object's name and its number, each through
// a hash table (chain_table.h): so the way to a slot leads through the leaf alone, and the
// object is looked at beside it. The tables only
// point at what the arena holds; recovery (recovery.h) rebuilds them from it. They are split into
// shards by the object's name; a shard's lock guards its tables and the objects,
// leaves and slots found through them.
//
// Cells of persistent pages and of ephemeral ones come from different slabs.
#ifndef TMEMD_ENGINE_PAGE_MAP_H_
#define TMEMD_ENGINE_PAGE_MAP_H_

#include <array>
#include <cstdint>

#include "engine/cell_slab.h"
#include "engine/chain_table.h"
#include "engine/layout.h"
#include "engine/span_table.h"
#include "engine/sync.h"

namespace tmemd {

class PageMap {
 public:
  static constexpr uint32_t kShards = 8;

  struct Slabs {
    CellSlab& objects;
    CellSlab& leaves;
  };

  class Shard {
   public:
    SpinLock lock;

    // 0 when there is none.
    CellRef findObject(uint64_t hash, uint32_t pool, const uint64_t oid[3]) const;
    // `hash` is that of the object's name.
    CellRef findLeaf(uint64_t hash, uint32_t pool, const uint64_t oid[3], uint32_t number) const;
    CellRef findLeaf(uint64_t hash, CellRef object, uint32_t number) const;
    // As above, made when missing; 0 when no cell could be had.
    CellRef makeObject(uint64_t hash, uint32_t pool, const uint64_t oid[3], Slabs slabs);
    CellRef makeLeaf(uint64_t hash, CellRef object, uint32_t number, Slabs slabs);
    // Takes over cells a killed process left. False when the map holds the like already.
    bool adoptObject(uint64_t hash, CellRef object);
    bool adoptLeaf(uint64_t hash, CellRef leaf);
    // Unlinks and frees an empty leaf.
    void removeLeaf(uint64_t hash, CellRef leaf, Slabs slabs);
    // Unlinks and frees an object without leaves.
    void removeObject(uint64_t hash, CellRef object, Slabs slabs);

    Object& object(CellRef ref) const { return table_->cell<Object>(ref); }
    Leaf& leaf(CellRef ref) const { return table_->cell<Leaf>(ref); }
    uint64_t hashOf(const Object& object) const { return map_->hashOf(object.poolTag - 1, object.oid); }
    // Room in the tables for an object and a leaf more. To be made before they are; false when the chains are
    // long and the capacity has no room for heads: then they can be made all the same.
    bool makeRoom();
    // The first object of a walk's place or a later one that is wanted(const Object&), where to go on is kept
    // there; 0: there is none, or `*steps`, of which each bucket and object takes one, came to 0.
    template <typename Wanted>
    CellRef nextObject(ChainTable::Place* at, uint32_t* steps, Wanted wanted) const {
      for (; *at < ChainTable::kEnd && *steps > 0; *at = objects_.after(*at)) {
        --*steps;
        for (CellRef ref = objects_.inBucketAt(*at); ref; ref = object(ref).next) {
          if (wanted(object(ref))) return ref;
          if (*steps > 0) --*steps;
        }
      }
      return 0;
    }
    template <typename Visit>  // Visit(CellRef)
    void forEachObject(Visit visit) const {
      for (size_t bucket = 0; bucket < objects_.bucketCount(); bucket++) {
        for (CellRef ref = objects_.inBucket(bucket); ref; ref = object(ref).next) visit(ref);
      }
    }
    uint64_t objectCount() const { return objectCount_; }
    uint64_t leafCount() const { return leafCount_; }
    size_t objectBuckets() const { return objects_.bucketCount(); }
    size_t leafBuckets() const { return leaves_.bucketCount(); }
    // What findLeaf() will look at first, to be prefetched; null: nothing.
    const Leaf* likelyLeaf(uint64_t hash, uint32_t number) const {
      CellRef ref = leaves_.head(leafHash(hash, number));
      return ref ? &leaf(ref) : nullptr;
    }

   private:
    friend class PageMap;
    // Without the bits that chose the shard.
    static uint64_t objectHash(uint64_t hash) { return hash >> 8; }
    static uint64_t leafHash(uint64_t hash, uint32_t number);
    void linkObject(uint64_t hash, CellRef object);
    void linkLeaf(uint64_t hash, CellRef leaf, CellRef object);
    auto nextOfObjects() const {
      return [this](CellRef ref) -> CellRef& { return object(ref).next; };
    }
    auto nextOfLeaves() const {
      return [this](CellRef ref) -> CellRef& { return leaf(ref).next; };
    }

    SpanTable* table_ = nullptr;
    const PageMap* map_ = nullptr;
    ChainTable objects_;
    ChainTable leaves_;
    uint64_t objectCount_ = 0;
    uint64_t leafCount_ = 0;
  };

  using ObjectHash = uint64_t (*)(const void* context, uint32_t pool, const uint64_t oid[3]);
  PageMap(SpanTable& table, ObjectHash hash, const void* context);
  ~PageMap();
  PageMap(const PageMap&) = delete;
  PageMap& operator=(const PageMap&) = delete;

  static uint32_t shardOf(uint64_t objectHash) { return objectHash & (kShards - 1); }
  Shard& shard(uint32_t index) { return shards_[index]; }
  uint64_t hashOf(uint32_t pool, const uint64_t oid[3]) const { return hash_(context_, pool, oid); }
  // What the shards' tables are charged; while no page operation runs.
  uint64_t chargedBytes() const {
    uint64_t bytes = 0;
    for (const Shard& shard : shards_) bytes += shard.objects_.chargedBytes() + shard.leaves_.chargedBytes();
    return bytes;
  }

 private:
  SpanTable& table_;
  const ObjectHash hash_;
  const void* const context_;
  std::array<Shard, kShards> shards_;
};

}  // namespace tmemd

#endif  // TMEMD_ENGINE_PAGE_MAP_H_
