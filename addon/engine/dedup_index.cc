#include "engine/dedup_index.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace tmemd {

namespace {

constexpr uint32_t partitionOf(uint64_t hash) { return static_cast<uint32_t>(hash >> 32) & 63; }
constexpr uint32_t tagOf(uint64_t hash) { return static_cast<uint32_t>(hash); }
constexpr uint32_t tagOfEntry(uint64_t entry) { return static_cast<uint32_t>(entry >> 32); }
constexpr Loc locOfEntry(uint64_t entry) { return static_cast<Loc>(entry); }

// Maps a uniform 32-bit value onto 0 .. count-1 for any count.
constexpr uint32_t scale(uint32_t value, uint32_t count) {
  return static_cast<uint32_t>(uint64_t{value} * count >> 32);
}

}  // namespace

DedupIndex::DedupIndex(SpanTable& table, std::function<uint64_t()> liveBlocks)
    : table_(table), liveBlocks_(std::move(liveBlocks)) {}

DedupIndex::~DedupIndex() {
  for (Partition& partition : partitions_) table_.giveBack(partition.bucketCount * sizeof(Bucket));
}

DedupIndex::Place DedupIndex::placeOf(uint32_t tag, uint32_t bucketCount) {
  return {scale(tag, bucketCount), scale(tag * 0x9e3779b1u, bucketCount)};
}

void DedupIndex::prefetch(uint64_t hash) const {
  Partition& partition = partitions_[partitionOf(hash)];
  SpinGuard guard(partition.lock);
  if (partition.bucketCount == 0) return;
  Place place = placeOf(tagOf(hash), partition.bucketCount);
  __builtin_prefetch(&partition.buckets[place.first]);
  __builtin_prefetch(&partition.buckets[place.second]);
}

uint32_t DedupIndex::find(uint64_t hash, std::span<Loc, kCandidatesMax> candidates) const {
  Partition& partition = partitions_[partitionOf(hash)];
  SpinGuard guard(partition.lock);
  if (partition.bucketCount == 0) return 0;
  Place place = placeOf(tagOf(hash), partition.bucketCount);
  uint32_t found = 0;
  for (uint32_t bucket : {place.first, place.second}) {
    for (uint64_t entry : partition.buckets[bucket].entry) {
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
  uint64_t entry = uint64_t{tagOf(hash)} << 32 | loc;
  if (stale && partition.bucketCount) {
    uint64_t old = uint64_t{tagOf(hash)} << 32 | stale;
    Place place = placeOf(tagOf(hash), partition.bucketCount);
    for (uint32_t bucket : {place.first, place.second}) {
      for (uint64_t& candidate : partition.buckets[bucket].entry) {
        if (candidate == old) {
          candidate = entry;
          return;
        }
      }
    }
  }
  // With two buckets to choose from and a move, next to none overflows up to here.
  bool full = partition.entryCount + 1 > partition.bucketCount * kBucketEntries / 16 * 15;
  if (full && mayGrow(partition)) {
    grow(partition);
    full = false;
  }
  if (partition.bucketCount == 0) return;
  // Where pages come and go nearly every bucket is full, and looking for room would be in vain.
  if (putInto(partition.buckets.get(), partition.bucketCount, entry, !full)) {
    partition.entryCount++;
    return;
  }
  Bucket& bucket = partition.buckets[placeOf(tagOf(hash), partition.bucketCount).first];
  std::move_backward(bucket.entry, bucket.entry + kBucketEntries - 1, bucket.entry + kBucketEntries);
  bucket.entry[0] = entry;
}

void DedupIndex::erase(uint64_t hash, Loc loc) {
  Partition& partition = partitions_[partitionOf(hash)];
  SpinGuard guard(partition.lock);
  if (partition.bucketCount == 0) return;
  uint64_t old = uint64_t{tagOf(hash)} << 32 | loc;
  Place place = placeOf(tagOf(hash), partition.bucketCount);
  for (uint32_t bucket : {place.first, place.second}) {
    for (uint64_t& candidate : partition.buckets[bucket].entry) {
      if (candidate == old) {
        candidate = 0;
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
    bytes += partition.bucketCount * sizeof(Bucket);
  }
  return bytes;
}

const char* DedupIndex::audit() const {
  for (Partition& partition : partitions_) {
    SpinGuard guard(partition.lock);
    uint64_t entries = 0;
    for (uint32_t bucket = 0; bucket < partition.bucketCount; bucket++) {
      for (uint64_t entry : partition.buckets[bucket].entry) entries += entry != 0;
    }
    if (entries != partition.entryCount) return "an index partition's entries do not add up";
  }
  return "";
}

bool DedupIndex::mayGrow(Partition& partition) const {
  if (partition.insertsUntilLook > 0) {
    partition.insertsUntilLook--;
    return false;
  }
  uint32_t stale = partition.entryCount / kStaleShare + kStaleEntries;
  if (partition.entryCount <= stale || partition.entryCount - stale <= liveBlocks_() / kPartitions) return true;
  partition.insertsUntilLook = kInsertsUntilLook;
  return false;
}

void DedupIndex::grow(Partition& partition) {
  uint32_t count = partition.bucketCount + std::max(8u, partition.bucketCount / 8);
  if (!table_.borrow(count * sizeof(Bucket))) return;
  std::unique_ptr<Bucket[]> bigger(new Bucket[count]());
  uint32_t kept = 0;
  for (uint32_t bucket = 0; bucket < partition.bucketCount; bucket++) {
    for (uint64_t entry : partition.buckets[bucket].entry) {
      if (entry != 0 && putInto(bigger.get(), count, entry, true)) kept++;
    }
  }
  table_.giveBack(partition.bucketCount * sizeof(Bucket));
  partition.buckets = std::move(bigger);
  partition.bucketCount = count;
  partition.entryCount = kept;
}

}  // namespace tmemd
