// The heads of a hash table whose entries are cells of the arena, each with a link to the
// next of its bucket. It grows a few buckets at a time (linear hashing), so that no put
// pays for moving the whole table:
//
//   buckets 0 .. n-1, with 2^(k-1) < n <= 2^k
//   the bucket of a hash: its low k bits; where that is n or more, its low k-1
//
// Bucket n is made by splitting bucket n - 2^(k-1); both are visited by who walks the
// buckets upwards meanwhile, so that nothing is passed over.
//
// A cell that is not the one wanted costs a cache miss, a head four bytes: so there are
// three heads for each cell. They are heap memory charged to the store's capacity; when
// that has no room the chains grow longer.
#ifndef TMEMD_ENGINE_CHAIN_TABLE_H_
#define TMEMD_ENGINE_CHAIN_TABLE_H_

#include <bit>
#include <cstdint>
#include <utility>
#include <vector>

#include "engine/layout.h"
#include "engine/span_table.h"

namespace tmemd {

class ChainTable {
 public:
  size_t bucketCount() const { return heads_.size(); }
  CellRef inBucket(size_t bucket) const { return heads_[bucket]; }
  CellRef& head(uint64_t hash) { return heads_[bucketOf(hash)]; }
  CellRef head(uint64_t hash) const { return heads_[bucketOf(hash)]; }

  // To be called before a cell is added to `cells`. `next(ref)` is a cell's link, `hash(ref)` its hash.
  template <typename Next, typename Hash>
  void makeRoom(uint64_t cells, SpanTable& table, Next next, Hash hash) {
    if (cells * kHeadsPerCell < heads_.size() || !table.borrow(kStep * sizeof(CellRef))) return;
    for (size_t i = 0; i < kStep; i++) split(next, hash);
  }
  // What is charged: the first head must always be there.
  uint64_t chargedBytes() const { return (heads_.size() - 1) * sizeof(CellRef); }

 private:
  static constexpr uint64_t kHeadsPerCell = 3;
  static constexpr size_t kStep = 16;

  size_t bucketOf(uint64_t hash) const {
    size_t bucket = hash & mask_;
    return bucket < heads_.size() ? bucket : bucket & mask_ >> 1;
  }
  template <typename Next, typename Hash>
  void split(Next next, Hash hash) {
    size_t made = heads_.size();
    heads_.push_back(0);
    mask_ = std::bit_ceil(made + 1) - 1;
    for (CellRef ref = std::exchange(heads_[made - std::bit_floor(made)], 0); ref;) {
      CellRef& link = next(ref);
      CellRef following = link;
      CellRef& into = head(hash(ref));
      link = into;
      into = ref;
      ref = following;
    }
  }

  std::vector<CellRef> heads_ = std::vector<CellRef>(1);
  size_t mask_ = 0;
};

}  // namespace tmemd

#endif  // TMEMD_ENGINE_CHAIN_TABLE_H_
