// A bin: the spans that hold one owner's blocks, and the allocator over them.
// A dedup group has one of kind kShared; a guest has one kReserve when it has a
// reserve, and one kEphemeral.
//
// A span is *open* (on no list; blocks are appended to it) or *closed* (on one of
// the bin's lists, by how many bytes are free in it; an ephemeral bin has one list,
// oldest first). Up to kOpenSpans are open: when a block does not fit the newest, its
// tail is left for smaller ones, best fit first.
//
// Freed blocks leave holes. A closed span is made appendable again by *packing*: its
// live blocks are copied to a spare frame without the holes and the frames swapped.
// References name span and entry, so they stay valid. The sparsest span is
// packed first, which gives most room for a copy.
//
// An entry is
//
//   free       on its span's list of free entries: the next block stored there takes it
//   in writing references 0, the span pinned by who writes the block
//   live       references 1 to kMaxReferences, from slots and from who holds one itself
//   retired    references 0, all else as it was: when the block lost its last reference
//              the span was pinned, perhaps by a reader of this very block, who goes on
//              (store_impl.h says why every such reader is seen). Packing frees it.
//
// What a reader of a block needs does not change while its span is pinned: nobody stores over
// bytes that were a block's until the span was packed or freed, and nobody takes a retired entry.
//
// What fits. In a reserve bin a span of fewer than kWorstCaseBlocks live blocks
// has, once packed, room for one more of any content, retired entries or not; so n pages
// always fit in n / kWorstCaseBlocks frames, however they came and went (design contract 6).
#ifndef TMEMD_ENGINE_BIN_H_
#define TMEMD_ENGINE_BIN_H_

#include <array>
#include <cstdint>
#include <span>

#include "engine/layout.h"
#include "engine/span_table.h"
#include "engine/sync.h"

namespace tmemd {

// A page ready to be stored.
struct EncodedPage {
  const std::byte* bytes;
  uint32_t lengthBytes;
  Codec codec;
  uint32_t checksum;
};

class Bin {
 public:
  static constexpr uint32_t kWorstCaseBlocks = 15;

  Bin(SpanTable& table, uint32_t id, SpanKind kind, FrameQuota* quota)
      : table_(table), id_(id), kind_(kind), quota_(quota) {}
  ~Bin();
  Bin(const Bin&) = delete;
  Bin& operator=(const Bin&) = delete;

  // Copies the page in, with one reference. 0 when neither holes nor the budget
  // have room: evict and try again.
  Loc store(const EncodedPage& page);

  // Asks for the cache lines the next block will probably be written to; takes no lock.
  void prefetchRoom(uint32_t lengthBytes) const {
    std::byte* at = nextRoom_.load(std::memory_order_relaxed);
    if (!at) return;
    for (uint32_t i = 0; i < lengthBytes; i += 64) __builtin_prefetch(at + i, 1);
  }

  // Takes over a span a killed process left: the entries that `counts` says are named,
  // and how often, each at most kMaxReferences. The last one is; all lie inside the span. With
  // no counts the span is free.
  void adopt(SpanNumber span, std::span<const uint8_t> counts);

  // Forgets its spans, so that the arena stays as it is.
  void abandon() {
    SpinGuard guard(lock_);
    spanCount_.store(0, std::memory_order_relaxed);
    first_.fill(0);
    open_.fill(0);
  }

  // One more reference, if `loc` is a block of this bin with fewer than the most.
  // Otherwise false; *saturated tells the two apart.
  bool tryShare(Loc loc, bool* saturated);
  struct Released {
    uint32_t lengthBytes;
    Codec codec;
    bool wasLast;
  };
  Released unref(Loc loc);
  // The same for many under one lock: those of `values` that are this bin's blocks are
  // released and set to 0. `each` is called with the value and what was released.
  template <typename Each>
  void unrefAll(std::span<uint32_t> values, Each each) {
    SpinGuard guard(lock_);
    for (uint32_t& value : values) {
      if (value == 0 || table_.binOf(spanOf(value)) != id_) continue;
      each(value, unrefLocked(value & ~kSharedBit));
      value = 0;
    }
  }
  // Whether `loc` is a block of this bin.
  bool holds(Loc loc) const;
  // Of a referenced block.
  Entry entryOf(Loc loc) const {
    return table_.entry(spanOf(loc), tmemd::entryOf(loc)).load(std::memory_order_relaxed);
  }

  // Ephemeral bins: the back reference of a block that is referenced; pins briefly.
  void setBackReference(Loc loc, BackReference reference);

  // The oldest closed span (or, if none is, the oldest open one, which is closed by
  // this), taken off its list so that nobody else evicts it; 0: none.
  SpanNumber beginEviction();
  // The live blocks' entries and back references.
  struct Victim {
    Loc loc;
    BackReference owner;
  };
  uint32_t listVictims(SpanNumber span, std::span<Victim> victims);
  bool isStill(const Victim& victim);
  // Puts what is left of the span back; true when nothing was and its frame is free.
  bool endEviction(SpanNumber span);

  // --- settling ---
  // Sets the sparsest closed spans apart for their blocks to be moved elsewhere, until what
  // is left is dense enough. They are given back as they empty, or used again when nothing
  // else has room; endDraining() returns the rest to use. Both work in steps, so that the lock is never
  // held for long: true, or not 0, while there may be more.
  struct Draining {
    uint32_t spans = 0;      // set apart so far
    uint64_t freeBytes = 0;  // in them
  };
  bool beginDraining(Draining& soFar);
  uint32_t endDraining();  // spans returned to use
  bool isDraining(Loc loc) const;
  // In holes, tails and headers.
  uint64_t deadBytes() const {
    SpinGuard guard(lock_);
    return deadBytesLocked();
  }
  // Remembers with a block of LZ4 that a form was tried in vain. `seen` is its entry, read while it was
  // referenced and the span pinned since.
  void markTried(Loc loc, Entry seen, Codec codec);

  uint32_t id() const { return id_; }
  SpanKind kind() const { return kind_; }
  uint64_t spanCount() const { return spanCount_.load(std::memory_order_relaxed); }
  uint64_t liveBlocks() const { return liveBlocks_.load(std::memory_order_relaxed); }

  struct Sums {
    uint64_t spans = 0;
    uint64_t blocks = 0;
    uint64_t rawBlocks = 0;
    uint64_t fillBlocks = 0;
    uint64_t references = 0;
    uint64_t dataBytes = 0;             // lengths of blocks, not rounded
    uint64_t extraReferenceBytes = 0;   // lengths again for references beyond the first
    uint64_t liveUnits = 0;             // blocks rounded, back references
    bool operator==(const Sums&) const = default;

    void count(Entry entry, uint32_t units, int64_t sign);
    // Entries, headers and back references.
    uint64_t metadataBytes(uint32_t prefixBytes) const {
      return spans * sizeof(SpanHeader) + blocks * (sizeof(Entry) + prefixBytes);
    }
  };
  Sums sums() const;
  uint64_t metadataBytes() const { return sums().metadataBytes(prefixUnits() * 8); }
  // Walks every span; null when lists, sums and entries agree, else what does not. While page
  // operations and the settler stand still.
  const char* audit() const;

 private:
  static constexpr uint32_t kOpenSpans = 8;
  static constexpr uint32_t kLists = 64;  // by free bytes, 1 KiB a list
  static constexpr uint8_t kDraining = kLists;  // one list more
  static constexpr uint8_t kOnNoList = 0xff;
  static constexpr uint8_t kBeingEvicted = 0xfe;
  static constexpr uint32_t kReserveEntriesMax = 320;
  // 15 worst-case blocks and the most entries leave room in a reserve span.
  static_assert(kWorstCaseBlocks * 4096 + kReserveEntriesMax * sizeof(Entry) <= kSpanDataBytes);
  // Packing starts when this share of the closed spans' bytes is dead.
  static constexpr uint64_t kDeadShareToPack = 24;  // one part in 24
  static constexpr uint32_t kPackFreeBytes = 5 * 1024;
  // Spans that packing looks at where it is not sure that the block fits: of one list of 1 KiB, which may be
  // long. They go to its end, so the next looks at others. A reserve needs none of these: its worst-case
  // block fits a span of a list above that.
  static constexpr uint32_t kPackLooks = 64;
  // Draining starts above one part dead in 16, goes on down to one in 32, and takes
  // spans with at least a quarter free.
  static constexpr uint64_t kDeadShareToDrain = 16;
  static constexpr uint64_t kDeadShareDrained = 32;
  static constexpr uint32_t kDrainListMin = kLists / 4;
  static constexpr uint32_t kDrainedAtOnce = 8192;  // half a GiB of spans
  static constexpr uint32_t kSpansPerDrainStep = 64;

  Released unrefLocked(Loc loc);
  uint64_t deadBytesLocked() const { return spanCount() * kSpanBytes - sums_.liveUnits * 8; }
  uint32_t prefixUnits() const { return kind_ == SpanKind::kEphemeral ? 1 : 0; }
  uint32_t entriesMax() const { return kind_ == SpanKind::kReserve ? kReserveEntriesMax : kEntriesPerSpanMax; }
  static uint32_t tailBytes(const SpanHeader& head);
  static uint32_t freeBytes(const SpanHeader& head);
  bool fitsTail(const SpanHeader& head, uint32_t units) const;
  bool fitsPacked(const SpanHeader& head, uint32_t units) const;
  uint8_t listFor(const SpanHeader& head) const;
  void link(SpanHeader& head, uint8_t list);
  void unlink(SpanHeader& head);
  void open(SpanHeader& head);
  void close(uint32_t position);
  SpanHeader* findOpen(uint32_t units);
  SpanHeader* packOne(uint32_t units, bool anyThatFits);
  bool pack(SpanHeader*& head);
  SpanHeader* roomFor(uint32_t units);
  SpanHeader* takeFresh();
  bool freeIfEmpty(SpanHeader& head);
  void reapIdle();

  SpanTable& table_;
  const uint32_t id_;
  const SpanKind kind_;
  FrameQuota* const quota_;

  std::atomic<uint64_t> spanCount_{0};
  std::atomic<uint64_t> liveBlocks_{0};

  std::atomic<std::byte*> nextRoom_{nullptr};  // behind the last block stored: only a hint
  mutable SpinLock lock_;  // guards what follows and the headers and entries of its spans
  std::array<SpanNumber, kOpenSpans> open_{};
  std::array<SpanNumber, kLists + 1> first_{};
  std::array<SpanNumber, kLists + 1> last_{};
  Sums sums_;  // spans excepted, which is in spanCount_
};

}  // namespace tmemd

#endif  // TMEMD_ENGINE_BIN_H_
