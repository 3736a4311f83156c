// From a page's content hash to a block that may hold it.
//
// Only a hint: entries are not removed when a block goes, and every candidate
// is compared in full. Each entry is 32 bits of the hash and the block's Loc;
// a bucket of 8 is a cache line; a page may be in either of two buckets, and
// where both are full the oldest guess is overwritten.
//
// 64 partitions by hash, each a spin lock and a table that grows by an eighth
// at a time when the capacity allows, and while there are about as many blocks as
// entries: what pages leave behind that come and go is overwritten in its turn. The
// tables are heap memory charged to the store's capacity.
#ifndef TMEMD_ENGINE_DEDUP_INDEX_H_
#define TMEMD_ENGINE_DEDUP_INDEX_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "engine/layout.h"
#include "engine/span_table.h"
#include "engine/sync.h"

namespace tmemd {

class DedupIndex {
 public:
  static constexpr uint32_t kCandidatesMax = 4;

  // `liveBlocks` says how many blocks there are that could be looked for.
  DedupIndex(SpanTable& table, std::function<uint64_t()> liveBlocks);
  ~DedupIndex();
  DedupIndex(const DedupIndex&) = delete;
  DedupIndex& operator=(const DedupIndex&) = delete;

  // Asks for the cache lines that find() will read.
  void prefetch(uint64_t hash) const;
  // Fills `candidates` with blocks whose hash agrees in 32 bits; returns how many.
  uint32_t find(uint64_t hash, std::span<Loc, kCandidatesMax> candidates) const;
  // Adds a block; takes the place of `stale` (0: none) if that is there under this hash.
  void insert(uint64_t hash, Loc loc, Loc stale);
  void erase(uint64_t hash, Loc loc);

  // What its tables are charged.
  uint64_t chargedBytes() const;
  // Empty when each partition's count of entries is right.
  const char* audit() const;

 private:
  static constexpr uint32_t kPartitions = 64;
  static constexpr uint32_t kBucketEntries = 8;
  // A partition does not grow when one in so many of its entries names no block any more,
  // and some: its share of the blocks is only about a 64th. The next look is so many inserts later.
  static constexpr uint32_t kStaleShare = 4;
  static constexpr uint32_t kStaleEntries = 64;
  static constexpr uint32_t kInsertsUntilLook = 128;
  struct alignas(64) Bucket {
    uint64_t entry[kBucketEntries];  // hash << 32 | loc, 0: free
  };
  struct Partition {
    SpinLock lock;
    uint32_t bucketCount = 0;
    uint32_t entryCount = 0;
    uint32_t insertsUntilLook = 0;  // whether it may grow
    std::unique_ptr<Bucket[]> buckets;
  };
  struct Place {
    uint32_t first;
    uint32_t second;
  };

  static Place placeOf(uint32_t tag, uint32_t bucketCount);
  static uint64_t* freeIn(Bucket& bucket, uint32_t* used);
  static bool putInto(Bucket* buckets, uint32_t bucketCount, uint64_t entry, bool mayMove);
  bool mayGrow(Partition& partition) const;
  void grow(Partition& partition);

  SpanTable& table_;
  const std::function<uint64_t()> liveBlocks_;
  mutable std::array<Partition, kPartitions> partitions_;
};

}  // namespace tmemd

#endif  // TMEMD_ENGINE_DEDUP_INDEX_H_
