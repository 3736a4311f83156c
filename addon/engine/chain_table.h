// The heads of a hash table whose entries are cells of the arena, each with a link to the
// next of its bucket. It grows and shrinks a few buckets at a time (linear hashing), so that no
// operation pays for moving the whole table:
//
//   buckets 0 .. n-1, with 2^(k-1) < n <= 2^k
//   the bucket of a hash: its low k bits; where that is n or more, its low k-1
//
// Bucket n is made by splitting bucket n - 2^(k-1), and goes by being joined to it again. A walk passes
// nothing over meanwhile, because it goes by the bits of the hash, the lowest first: in that order each
// bucket is an interval, a split cuts one in two, and a join makes one of two.
//
// Memory. The heads lie in chunks of 64 KiB, what a frame has, so that none is copied to grow; fewer are
// one block that doubles and halves. A chunk is mapped by itself: what is given back is the host's.
// The list of chunks is copied to grow, 70 KB in the largest arena there is.
//
// A cell that is not the one wanted costs a cache miss, a head four bytes: so there are three heads for
// each cell, and never more than six. They are charged to the store's capacity. When that has no
// room the chains grow longer; from kCellsPerHeadMost on makeRoom() says so, and who makes cells is to
// make room first (store_put.cc). Heads are asked for before cells, so frames that become free go to them first.
// What is left: a guest's reserve is set aside without heads. Where all else holds persistent pages, its cells are
// as many as the reserve allows, in chains as long as that makes them.
//
// One call moves at most kStep buckets to grow, and stops after kCellsAtOnce cells; it joins at most kJoinedAtOnce.
#ifndef TMEMD_ENGINE_CHAIN_TABLE_H_
#define TMEMD_ENGINE_CHAIN_TABLE_H_

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <utility>
#include <vector>

#include "engine/layout.h"
#include "engine/span_table.h"

namespace tmemd {

class ChainTable {
 public:
  static constexpr uint64_t kHeadsPerCell = 3;
  static constexpr size_t kStep = 16;
  static constexpr size_t kCellsAtOnce = 64;
  static constexpr size_t kJoinedAtOnce = 8;  // above the six heads of the cell that went
  static constexpr uint64_t kCellsPerHeadMost = 8;

  ChainTable() = default;
  ~ChainTable() {
    for (CellRef* chunk : chunks_) dispose(chunk, chunks_.size() > 1 ? kChunkHeads : heads_);
  }
  ChainTable(const ChainTable&) = delete;
  ChainTable& operator=(const ChainTable&) = delete;

  size_t bucketCount() const { return count_; }
  CellRef inBucket(size_t bucket) const { return chunks_[bucket / kChunkHeads][bucket % kChunkHeads]; }
  CellRef& head(uint64_t hash) { return at(bucketOf(hash)); }
  CellRef head(uint64_t hash) const { return inBucket(bucketOf(hash)); }

  // To be called before a cell is added to `cells`. `next(ref)` is a cell's link, `hash(ref)` its hash.
  // False when the chains are long and the capacity has no room for heads.
  template <typename Next, typename Hash>
  bool makeRoom(uint64_t cells, SpanTable& table, Next next, Hash hash) {
    if (cells * kHeadsPerCell < count_) return true;
    size_t moved = 0;
    for (size_t i = 0; i < kStep && moved < kCellsAtOnce; i++) {
      if (count_ == heads_ && !grow(table)) return cells < count_ * kCellsPerHeadMost;
      moved += split(next, hash);
    }
    return true;
  }
  // To be called when a cell was taken away and `cells` are left. Keeps to six heads for each.
  template <typename Next>
  void giveRoom(uint64_t cells, SpanTable& table, Next next) {
    for (size_t i = 0; i < kJoinedAtOnce && count_ > kLeast && count_ > 2 * kHeadsPerCell * cells; i++) join(next);
    shrink(table);
  }

  // A walk: from 0 to kEnd. after() is to be asked under the lock under which the bucket was looked at.
  using Place = uint64_t;
  static constexpr Place kEnd = Place{1} << 32;
  CellRef inBucketAt(Place place) const { return inBucket(bucketOf(reversed(static_cast<uint32_t>(place)))); }
  Place after(Place place) const {
    size_t bucket = bucketOf(reversed(static_cast<uint32_t>(place)));
    int bits = std::bit_width(mask_);
    // One that was not split yet goes by a bit less.
    if (bucket <= mask_ >> 1 && bucket + (mask_ >> 1) + 1 >= count_ && bits > 0) bits--;
    return ((place >> (32 - bits)) + 1) << (32 - bits);
  }

  // The first head must always be there.
  uint64_t chargedBytes() const { return chargeFor(heads_); }

 private:
  static constexpr size_t kLeast = 16;
  static constexpr size_t kChunkHeads = kSpanBytes / sizeof(CellRef);

  // With two words of the list for each chunk.
  static uint64_t chargeFor(size_t heads) {
    if (heads < kLeast) return 0;
    return heads * sizeof(CellRef) + (heads < kChunkHeads ? 0 : heads / kChunkHeads * 2 * sizeof(CellRef*));
  }
  static uint32_t reversed(uint32_t bits) {
    bits = (bits >> 1 & 0x55555555) | (bits & 0x55555555) << 1;
    bits = (bits >> 2 & 0x33333333) | (bits & 0x33333333) << 2;
    bits = (bits >> 4 & 0x0f0f0f0f) | (bits & 0x0f0f0f0f) << 4;
    return __builtin_bswap32(bits);
  }

  CellRef& at(size_t bucket) { return chunks_[bucket / kChunkHeads][bucket % kChunkHeads]; }
  size_t bucketOf(uint64_t hash) const {
    size_t bucket = hash & mask_;
    return bucket < count_ ? bucket : bucket & mask_ >> 1;
  }
  // Returns how many cells it looked at.
  template <typename Next, typename Hash>
  size_t split(Next next, Hash hash) {
    size_t made = count_++;
    mask_ = std::bit_ceil(count_) - 1;
    size_t moved = 0;
    for (CellRef ref = std::exchange(at(made - std::bit_floor(made)), 0); ref; moved++) {
      CellRef& link = next(ref);
      CellRef following = link;
      CellRef& into = head(hash(ref));
      link = into;
      into = ref;
      ref = following;
    }
    return moved;
  }
  template <typename Next>
  void join(Next next) {
    size_t gone = --count_;
    mask_ = std::bit_ceil(count_) - 1;
    CellRef first = std::exchange(at(gone), 0);
    if (!first) return;
    CellRef last = first;
    while (CellRef following = next(last)) last = following;
    CellRef& into = at(gone - std::bit_floor(gone));
    next(last) = into;
    into = first;
  }

  // Null when the kernel has no memory for a chunk.
  static CellRef* obtain(size_t heads) {
    if (heads < kChunkHeads) return new CellRef[heads]();
    void* chunk = mmap(nullptr, kSpanBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return chunk == MAP_FAILED ? nullptr : static_cast<CellRef*>(chunk);
  }
  void dispose(CellRef* chunk, size_t heads) {
    if (chunk == one_) return;
    heads < kChunkHeads ? delete[] chunk : static_cast<void>(munmap(chunk, kSpanBytes));
  }
  bool grow(SpanTable& table) {
    bool whole = heads_ >= kChunkHeads;
    size_t heads = whole ? heads_ + kChunkHeads : std::max(kLeast, heads_ * 2);
    // Of a block that doubles, old and new are there at once.
    uint64_t bytes = whole ? chargeFor(heads) - chargeFor(heads_) : chargeFor(heads);
    if (!table.borrow(bytes)) return false;
    CellRef* made = obtain(whole ? kChunkHeads : heads);
    if (!made) {
      table.giveBack(bytes);
      return false;
    }
    if (whole) {
      chunks_.push_back(made);
      heads_ = heads;
    } else {
      table.giveBack(chargeFor(heads_));
      replaceFirst(made, heads);
    }
    return true;
  }
  // So much is left unused that it does not have to be asked for again at once.
  void shrink(SpanTable& table) {
    uint64_t before = chargeFor(heads_);
    if (chunks_.size() > 1) {
      if (heads_ - count_ < kChunkHeads * 3 / 2) return;
      dispose(chunks_.back(), kChunkHeads);
      chunks_.pop_back();
      if (chunks_.capacity() > 2 * chunks_.size()) chunks_.shrink_to_fit();
      heads_ -= kChunkHeads;
    } else {
      if (heads_ <= kLeast || count_ * 4 > heads_) return;
      replaceFirst(obtain(heads_ / 2), heads_ / 2);
    }
    table.giveBack(before - chargeFor(heads_));
  }
  void replaceFirst(CellRef* by, size_t heads) {
    std::copy_n(chunks_[0], count_, by);
    dispose(chunks_[0], heads_);
    chunks_[0] = by;
    heads_ = heads;
  }

  CellRef one_[1] = {0};
  std::vector<CellRef*> chunks_{one_};
  size_t count_ = 1;  // buckets
  size_t mask_ = 0;
  size_t heads_ = 1;  // there is memory for
};

}  // namespace tmemd

#endif  // TMEMD_ENGINE_CHAIN_TABLE_H_
