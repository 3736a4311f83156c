#include "engine/dedup_index.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace tmemd {

namespace {

constexpr uint32_t partitionOf(uint64_t hash) { return static_cast<uint32_t>(hash >> 32) & 63; }
constexpr uint32_t tagOf(uint64_t hash) { return static_cast<uint32_t>(hash); }
constexpr Loc locOfEntry(uint64_t entry) { return static_cast<Loc>(entry); }

// Maps a uniform 32-bit value onto 0 .. count-1 for any count.
constexpr uint32_t scale(uint32_t value, uint32_t count) {
  return static_cast<uint32_t>(uint64_t{value} * count >> 32);
}

}  // namespace

DedupIndex::DedupIndex(SpanTable& table, std::function<uint64_t()> liveBlocks)
    : table_(table), liveBlocks_(std::move(liveBlocks)) {}

DedupIndex::~DedupIndex() {
  for (Partition& partition : partitions_) table_.giveBack(chargeFor(partition));
}

DedupIndex::Place DedupIndex::placeOf(uint32_t tag, uint32_t bucketCount) {
  return {scale(tag, bucketCount), scale(tag * 0x9e3779b1u, bucketCount)};
}

void DedupIndex::prefetch(uint64_t hash) const {
  Partition& partition = partitions_[partitionOf(hash)];
  SpinGuard guard(partition.lock);
  const Segment& segment = partition.of(tagOf(hash));
  if (segment.bucketCount == 0) return;
  Place place = placeOf(tagOf(hash), segment.bucketCount);
  __builtin_prefetch(&segment.buckets[place.first]);
  __builtin_prefetch(&segment.buckets[place.second]);
}

uint32_t DedupIndex::find(uint64_t hash, std::span<Loc, kCandidatesMax> candidates) const {
  Partition& partition = partitions_[partitionOf(hash)];
  SpinGuard guard(partition.lock);
  const Segment& segment = partition.of(tagOf(hash));
  if (segment.bucketCount == 0) return 0;
  Place place = placeOf(tagOf(hash), segment.bucketCount);
  uint32_t found = 0;
  for (uint32_t bucket : {place.first, place.second}) {
    for (uint64_t entry : segment.buckets[bucket].entry) {
      if (tagOfEntry(entry) == tagOf(hash) && locOfEntry(entry) != 0 && found < kCandidatesMax) {
        candidates[found++] = locOfEntry(entry);
      }
    }
    if (place.first == place.second) break;
  }
  return found;
}

uint64_t* DedupIndex::freeIn(Bucket& bucket, uint32_t* used) {
  uint64_t* free = nullptr;
  for (uint64_t& candidate : bucket.entry) {
    if (candidate != 0) {
      ++*used;
    } else if (!free) {
      free = &candidate;
    }
  }
  return free;
}

// Into the emptier of the two buckets; when both are full and `mayMove`, one of their
// entries may move to its own other bucket.
bool DedupIndex::putInto(Bucket* buckets, uint32_t bucketCount, uint64_t entry, bool mayMove) {
  Place place = placeOf(tagOfEntry(entry), bucketCount);
  uint32_t used[2] = {0, 0};
  uint64_t* free[2] = {freeIn(buckets[place.first], &used[0]), freeIn(buckets[place.second], &used[1])};
  if (uint64_t* chosen = free[used[0] <= used[1] ? 0 : 1]) {
    *chosen = entry;
    return true;
  }
  if (!mayMove) return false;
  for (uint32_t bucket : {place.first, place.second}) {
    for (uint64_t& resident : buckets[bucket].entry) {
      Place home = placeOf(tagOfEntry(resident), bucketCount);
      uint32_t ignored = 0;
      uint64_t* other = freeIn(buckets[home.first == bucket ? home.second : home.first], &ignored);
      if (!other) continue;
      *other = resident;
      resident = entry;
      return true;
    }
  }
  return false;
}

void DedupIndex::insert(uint64_t hash, Loc loc, Loc stale) {
  Partition& partition = partitions_[partitionOf(hash)];
  SpinGuard guard(partition.lock);
  Segment* segment = &partition.of(tagOf(hash));
  uint64_t entry = uint64_t{tagOf(hash)} << 32 | loc;
  if (stale && segment->bucketCount) {
    uint64_t old = uint64_t{tagOf(hash)} << 32 | stale;
    Place place = placeOf(tagOf(hash), segment->bucketCount);
    for (uint32_t bucket : {place.first, place.second}) {
      for (uint64_t& candidate : segment->buckets[bucket].entry) {
        if (candidate == old) {
          candidate = entry;
          return;
        }
      }
    }
  }
  // With two buckets to choose from and a move, next to none overflows up to here.
  bool full = segment->entryCount + 1 > segment->bucketCount * kBucketEntries / 16 * 15;
  if (full && mayGrow(partition)) {
    grow(partition, *segment);
    segment = &partition.of(tagOf(hash));
    full = false;  // or nearly, where another was split
  }
  if (segment->bucketCount == 0) return;
  // Where pages come and go nearly every bucket is full, and looking for room would be in vain.
  if (putInto(segment->buckets.get(), segment->bucketCount, entry, !full)) {
    segment->entryCount++;
    partition.entryCount++;
    return;
  }
  Bucket& bucket = segment->buckets[placeOf(tagOf(hash), segment->bucketCount).first];
  std::move_backward(bucket.entry, bucket.entry + kBucketEntries - 1, bucket.entry + kBucketEntries);
  bucket.entry[0] = entry;
}

void DedupIndex::erase(uint64_t hash, Loc loc) {
  Partition& partition = partitions_[partitionOf(hash)];
  SpinGuard guard(partition.lock);
  Segment& segment = partition.of(tagOf(hash));
  if (segment.bucketCount == 0) return;
  uint64_t old = uint64_t{tagOf(hash)} << 32 | loc;
  Place place = placeOf(tagOf(hash), segment.bucketCount);
  for (uint32_t bucket : {place.first, place.second}) {
    for (uint64_t& candidate : segment.buckets[bucket].entry) {
      if (candidate == old) {
        candidate = 0;
        segment.entryCount--;
        partition.entryCount--;
        return;
      }
    }
  }
}

uint64_t DedupIndex::chargedBytes() const {
  uint64_t bytes = 0;
  for (Partition& partition : partitions_) {
    SpinGuard guard(partition.lock);
    bytes += chargeFor(partition);
  }
  return bytes;
}

uint64_t DedupIndex::largestSegmentBytes() const {
  uint64_t largest = 0;
  for (Partition& partition : partitions_) {
    SpinGuard guard(partition.lock);
    for (const Segment& segment : partition.segments) largest = std::max<uint64_t>(largest, segment.bucketCount);
  }
  return largest * sizeof(Bucket);
}

const char* DedupIndex::audit() const {
  for (Partition& partition : partitions_) {
    SpinGuard guard(partition.lock);
    uint64_t allBuckets = 0;
    uint64_t allEntries = 0;
    for (const Segment& segment : partition.segments) {
      uint64_t entries = 0;
      for (uint32_t bucket = 0; bucket < segment.bucketCount; bucket++) {
        for (uint64_t entry : segment.buckets[bucket].entry) {
          entries += entry != 0;
          if (entry != 0 && &partition.of(tagOfEntry(entry)) != &segment) return "an index entry is in another's segment";
        }
      }
      if (entries != segment.entryCount) return "an index segment's entries do not add up";
      allBuckets += segment.bucketCount;
      allEntries += entries;
    }
    if (allBuckets != partition.bucketCount) return "an index partition's buckets do not add up";
    if (allEntries != partition.entryCount) return "an index partition's entries do not add up";
  }
  return "";
}

}  // namespace tmemd
