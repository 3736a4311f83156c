// From a page's content hash to a block that may hold it.
//
// Only a hint: entries are not removed when a block goes, and every candidate
// is compared in full. Each entry is 32 bits of the hash and the block's Loc;
// a bucket of 8 is a cache line; a page may be in either of two buckets, and
// where both are full the oldest guess is overwritten.
//
// 64 partitions by hash, each a spin lock and *segments*: tables of at most kBucketsMax buckets. A segment
// grows by an eighth at a time when the capacity allows, and while there are about as many blocks as
// entries: what pages leave behind that come and go is overwritten in its turn. When segments are large
// there is one more, by linear hashing of the tag: segment m takes its entries from m - 2^(k-1), where 2^(k-1)
// is the highest power of two in m. So no hold of the lock moves more than the entries of kBucketsMax buckets.
//
// The background calls trim(), which gives back what blocks that went leave: where a partition has room for
// twice its share of the blocks, it drops the entries that name none, makes segments smaller and joins them, a
// piece at a time. A partition that stays roomy is left alone until it has grown or there are fewer blocks.
//
// The tables are heap memory charged to the store's capacity.
#ifndef TMEMD_ENGINE_DEDUP_INDEX_H_
#define TMEMD_ENGINE_DEDUP_INDEX_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

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

  // One piece of giving memory back; false when all partitions were looked at since it last said so. By one thread
  // at a time. `blocks`: how many there are; `isThere` says whether a Loc names one, wrong answers cost a hint.
  bool trim(uint64_t blocks, const std::function<bool(Loc)>& isThere);

  // What its tables are charged.
  uint64_t chargedBytes() const;
  // Empty when each partition's counts are right.
  const char* audit() const;
  // What is moved at once is at most that, or two of them.
  uint64_t largestSegmentBytes() const;

 private:
  static constexpr uint32_t kPartitions = 64;
  static constexpr uint32_t kBucketEntries = 8;
  static constexpr uint32_t kBucketsMax = 256;
  static constexpr uint32_t kBucketsToSplit = 128;  // of a segment: then there should be one more
  static constexpr uint32_t kBucketsStep = 8;       // the least that one grows by
  static constexpr uint32_t kBucketsSwept = 16;     // by one piece of trim()
  // A partition does not grow when one in so many of its entries names no block any more,
  // and some: its share of the blocks is only about a 64th. The next look is so many inserts later.
  static constexpr uint32_t kStaleShare = 4;
  static constexpr uint32_t kStaleEntries = 64;
  static constexpr uint32_t kInsertsUntilLook = 128;
  struct alignas(64) Bucket {
    uint64_t entry[kBucketEntries];  // hash << 32 | loc, 0: free
  };
  struct Segment {
    std::unique_ptr<Bucket[]> buckets;
    uint32_t bucketCount = 0;
    uint32_t entryCount = 0;
  };
  struct Partition {
    SpinLock lock;
    uint32_t insertsUntilLook = 0;  // whether it may grow
    uint32_t mask = 0;              // of the tag's bits that choose the segment
    std::vector<Segment> segments = std::vector<Segment>(1);
    uint64_t bucketCount = 0;  // of all segments
    uint64_t entryCount = 0;
    // When it was trimmed last, and had more room than it seems to need.
    uint64_t trimmedBuckets = 0;
    uint64_t trimmedShare = 0;

    Segment& of(uint32_t tag) {
      uint32_t segment = tag & mask;
      return segments[segment < segments.size() ? segment : segment & mask >> 1];
    }
    void addSegment();
    Segment takeLastSegment();
  };
  struct Place {
    uint32_t first;
    uint32_t second;
  };

  static constexpr uint32_t tagOfEntry(uint64_t entry) { return static_cast<uint32_t>(entry >> 32); }
  static Place placeOf(uint32_t tag, uint32_t bucketCount);
  static uint64_t* freeIn(Bucket& bucket, uint32_t* used);
  static bool putInto(Bucket* buckets, uint32_t bucketCount, uint64_t entry, bool mayMove);
  static uint64_t chargeFor(const Partition& partition);
  static uint32_t bucketsFor(uint64_t entries);
  bool mayGrow(Partition& partition) const;
  void grow(Partition& partition, Segment& segment);
  void split(Partition& partition);
  void join(Partition& partition);
  void rebuild(Partition& partition, std::span<Segment*> segments, std::span<const uint32_t> counts);
  bool isRoomy(const Partition& partition, uint64_t share) const;
  bool trimNext();
  bool makeSmaller(Partition& partition);
  void sweep(Partition& partition, const std::function<bool(Loc)>& isThere);

  SpanTable& table_;
  const std::function<uint64_t()> liveBlocks_;
  mutable std::array<Partition, kPartitions> partitions_;
  // Where trim() is: touched by its thread alone.
  struct Trimming {
    uint32_t partition = 0;
    bool begun = false;
    uint64_t share = 0;  // of the blocks, of one partition
    uint32_t segment = 0;
    uint32_t bucket = 0;
  } trimming_;
};

}  // namespace tmemd

#endif  // TMEMD_ENGINE_DEDUP_INDEX_H_
