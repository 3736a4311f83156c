// How the index grows, and gives back what it does not need. See dedup_index.h.
#include <algorithm>
#include <bit>
#include <utility>

#include "engine/dedup_index.h"

namespace tmemd {

void DedupIndex::Partition::addSegment() {
  segments.emplace_back();
  mask = static_cast<uint32_t>(std::bit_ceil(segments.size())) - 1;
}

DedupIndex::Segment DedupIndex::Partition::takeLastSegment() {
  Segment last = std::move(segments.back());
  segments.pop_back();
  if (segments.capacity() > 2 * segments.size()) segments.shrink_to_fit();
  mask = static_cast<uint32_t>(std::bit_ceil(segments.size())) - 1;
  return last;
}

// The list of segments is at most half empty. The first of them must always be there.
uint64_t DedupIndex::chargeFor(const Partition& partition) {
  return partition.bucketCount * sizeof(Bucket) + (partition.segments.size() - 1) * 2 * sizeof(Segment);
}

// Seven eighths full: in a table that is fuller some find no place.
uint32_t DedupIndex::bucketsFor(uint64_t entries) {
  uint64_t steps = (entries * 8 + 7 * kBucketEntries * kBucketsStep - 1) / (7 * kBucketEntries * kBucketsStep);
  return static_cast<uint32_t>(std::min<uint64_t>(kBucketsMax, steps * kBucketsStep));
}

bool DedupIndex::mayGrow(Partition& partition) const {
  if (partition.insertsUntilLook > 0) {
    partition.insertsUntilLook--;
    return false;
  }
  uint64_t stale = partition.entryCount / kStaleShare + kStaleEntries;
  if (partition.entryCount <= stale || partition.entryCount - stale <= liveBlocks_() / kPartitions) return true;
  partition.insertsUntilLook = kInsertsUntilLook;
  return false;
}

// The segment, or when they are large on average, their number.
void DedupIndex::grow(Partition& partition, Segment& segment) {
  bool large = partition.bucketCount > partition.segments.size() * kBucketsToSplit;
  if (segment.bucketCount >= kBucketsMax || large) return split(partition);
  uint32_t count = std::min(kBucketsMax, segment.bucketCount + std::max(kBucketsStep, segment.bucketCount / 8));
  // Old and new are there at once.
  if (!table_.borrow(count * sizeof(Bucket))) return;
  table_.giveBack(segment.bucketCount * sizeof(Bucket));
  Segment* one = &segment;
  rebuild(partition, {&one, 1}, {&count, 1});
}

void DedupIndex::split(Partition& partition) {
  const uint32_t made = static_cast<uint32_t>(partition.segments.size());
  const uint32_t bit = std::bit_floor(made);
  uint32_t moving = 0;
  Segment& whole = partition.segments[made - bit];
  for (uint32_t bucket = 0; bucket < whole.bucketCount; bucket++) {
    for (uint64_t entry : whole.buckets[bucket].entry) moving += entry != 0 && (tagOfEntry(entry) & bit);
  }
  const uint32_t counts[] = {bucketsFor(whole.entryCount - moving), bucketsFor(moving)};
  if (!table_.borrow((counts[0] + counts[1]) * sizeof(Bucket) + 2 * sizeof(Segment))) return;
  table_.giveBack(whole.bucketCount * sizeof(Bucket));
  partition.addSegment();
  Segment* both[] = {&partition.segments[made - bit], &partition.segments[made]};
  rebuild(partition, both, counts);
}

// The last segment with the one it came from.
void DedupIndex::join(Partition& partition) {
  const uint64_t before = chargeFor(partition);
  Segment last = partition.takeLastSegment();
  const size_t gone = partition.segments.size();
  Segment* both[] = {&partition.segments[gone - std::bit_floor(gone)], &last};
  const uint32_t counts[] = {bucketsFor(both[0]->entryCount + last.entryCount), 0};
  rebuild(partition, both, counts);
  table_.giveBack(before - chargeFor(partition));
}

// Replaces the tables of one or two segments by those of `counts` buckets; of two, the second's entries go into
// the first where it gets none.
void DedupIndex::rebuild(Partition& partition, std::span<Segment*> segments, std::span<const uint32_t> counts) {
  std::array<Segment, 2> made;
  for (size_t i = 0; i < segments.size(); i++) {
    made[i].bucketCount = counts[i];
    if (counts[i] > 0) made[i].buckets.reset(new Bucket[counts[i]]());
  }
  for (const Segment* segment : segments) {
    for (uint32_t bucket = 0; bucket < segment->bucketCount; bucket++) {
      for (uint64_t entry : segment->buckets[bucket].entry) {
        if (entry == 0) continue;
        bool second = segments.size() == 2 && counts[1] > 0 && &partition.of(tagOfEntry(entry)) == segments[1];
        Segment& into = made[second];
        into.entryCount += into.bucketCount > 0 && putInto(into.buckets.get(), into.bucketCount, entry, true);
      }
    }
  }
  for (size_t i = 0; i < segments.size(); i++) {
    partition.bucketCount += uint64_t{made[i].bucketCount} - segments[i]->bucketCount;
    partition.entryCount += uint64_t{made[i].entryCount} - segments[i]->entryCount;
    *segments[i] = std::move(made[i]);
  }
}

// --- giving back -------------------------------------------------------------------------

bool DedupIndex::isRoomy(const Partition& partition, uint64_t share) const {
  if (partition.bucketCount * kBucketEntries / 2 <= share) return false;
  return partition.bucketCount > partition.trimmedBuckets + partition.trimmedBuckets / 8 ||
         share < partition.trimmedShare - partition.trimmedShare / 8;
}

bool DedupIndex::trimNext() {
  trimming_.begun = false;
  trimming_.partition = (trimming_.partition + 1) % kPartitions;
  return trimming_.partition != 0;
}

bool DedupIndex::trim(uint64_t blocks, const std::function<bool(Loc)>& isThere) {
  Partition& partition = partitions_[trimming_.partition];
  if (trimming_.begun) {
    sweep(partition, isThere);
  } else {
    trimming_ = {trimming_.partition, true, blocks / kPartitions, 0, 0};
  }
  SpinGuard guard(partition.lock);
  if (trimming_.segment == 0 && trimming_.bucket == 0 && !isRoomy(partition, trimming_.share)) return trimNext();
  if (makeSmaller(partition)) return true;
  partition.trimmedBuckets = partition.bucketCount;
  partition.trimmedShare = trimming_.share;
  return trimNext();
}

// After a piece was swept; false when there is nothing more to do.
bool DedupIndex::makeSmaller(Partition& partition) {
  const size_t count = partition.segments.size();
  if (trimming_.segment < count) {
    Segment& segment = partition.segments[trimming_.segment];
    if (trimming_.bucket < segment.bucketCount) return true;
    const uint32_t needed = bucketsFor(segment.entryCount);
    if (needed < segment.bucketCount && needed <= segment.bucketCount / 4 * 3) {
      const uint64_t before = chargeFor(partition);
      Segment* one = &segment;
      rebuild(partition, {&one, 1}, {&needed, 1});
      table_.giveBack(before - chargeFor(partition));
    }
    trimming_.segment++;
    trimming_.bucket = 0;
    return true;
  }
  if (count == 1) return false;
  const size_t into = count - 1 - std::bit_floor(count - 1);
  if (partition.segments[count - 1].entryCount + partition.segments[into].entryCount >
      kBucketsToSplit * kBucketEntries / 2) {
    return false;
  }
  join(partition);
  return true;
}

// Drops the entries of some buckets that name no block. That is asked with the lock let go.
void DedupIndex::sweep(Partition& partition, const std::function<bool(Loc)>& isThere) {
  std::array<Bucket, kBucketsSwept> seen{};
  auto each = [&](auto visit) {
    SpinGuard guard(partition.lock);
    if (trimming_.segment >= partition.segments.size()) return;
    Segment& segment = partition.segments[trimming_.segment];
    uint32_t end = std::min(segment.bucketCount, trimming_.bucket + kBucketsSwept);
    for (uint32_t i = trimming_.bucket; i < end; i++) visit(segment, segment.buckets[i], seen[i - trimming_.bucket]);
  };
  each([](Segment&, Bucket& bucket, Bucket& copy) { copy = bucket; });
  for (Bucket& bucket : seen) {
    for (uint64_t& entry : bucket.entry) {
      if (entry != 0 && isThere(static_cast<Loc>(entry))) entry = 0;  // stays
    }
  }
  each([&](Segment& segment, Bucket& bucket, Bucket& gone) {
    for (uint32_t i = 0; i < kBucketEntries; i++) {
      if (gone.entry[i] == 0 || bucket.entry[i] != gone.entry[i]) continue;
      bucket.entry[i] = 0;
      segment.entryCount--;
      partition.entryCount--;
    }
  });
  trimming_.bucket += kBucketsSwept;
}

}  // namespace tmemd
