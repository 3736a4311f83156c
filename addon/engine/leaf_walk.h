// A walk over a guest's persistent leaves that may stop at any slot and go on there.
//
// It goes by cells, not by the hash table: span after span of the guest's leaves, cell after
// cell, slot after slot. Cells never move, so a cursor stays good whatever comes and goes
// meanwhile, and nothing is visited twice. A leaf made in a cell that was passed is for the
// next walk. No chain is followed, however long a guest made it: a step looks at no more than
// kSlotsPerStep slots, or at so many places of the span table, and that is how long it holds a lock.
//
// Which shard a leaf belongs to says its name. That is read under the lock of the leaves' slab:
// there a leaf that is in use cannot be freed, and so its object cannot either. Then, with the
// shard locked, the name is read once more: the cell may be another leaf's by then.
#ifndef TMEMD_ENGINE_LEAF_WALK_H_
#define TMEMD_ENGINE_LEAF_WALK_H_

#include <optional>

#include "engine/guest.h"
#include "engine/layout.h"
#include "engine/span_table.h"

namespace tmemd {

struct LeafCursor {
  SpanNumber span = 1;
  uint32_t cell = 0;
  uint32_t slot = 0;
};

// A page the walk stopped at. Its span is pinned for whoever has it in hand, since before the shard's lock
// was let go: so entry and bytes may be read (store_impl.h).
struct PageInHand {
  CellRef leaf;
  uint32_t shard;
  uint32_t slot;
  uint32_t value;
  Entry entry;
  std::byte* span;
  Loc loc() const { return value & ~kSharedBit; }
  const std::byte* bytes() const { return span + entryOffsetUnits(entry) * 8; }
};

// What a walk is for. Called with the leaf's shard locked.
class LeafVisitor {
 public:
  virtual ~LeafVisitor() = default;
  // At the first slot, and `again` whenever the walk comes back to a leaf it had begun (in whose cell
  // there may be another by now). False: on to the next.
  virtual bool enters(Leaf& leaf, bool again) = 0;
  // Is a block worth a look at its entry, and then at its bytes?
  virtual bool admits(Loc loc) = 0;
  virtual bool wants(Entry entry) = 0;
  // All slots were seen.
  virtual void leaves(Leaf& leaf) = 0;
};

class LeafWalk {
 public:
  enum class Step { kEnd, kOn, kPage };

  LeafWalk(SpanTable& table, Guest& guest, LeafCursor& at) : table_(table), guest_(guest), at_(at) {}
  // Inside the guest's gate. kPage: *page is in hand, and the cursor behind it.
  Step step(LeafVisitor& visitor, PageInHand* page);

  // The shard of the leaf in a cell; none when there is no leaf.
  static std::optional<uint32_t> shardOfLeaf(SpanTable& table, Guest& guest, CellRef ref);

 private:
  static constexpr uint32_t kSlotsPerStep = 16;
  static constexpr uint32_t kSpansPerStep = 4096;

  bool findSpan();
  void nextLeaf();

  SpanTable& table_;
  Guest& guest_;
  LeafCursor& at_;
};

}  // namespace tmemd

#endif  // TMEMD_ENGINE_LEAF_WALK_H_
