// What the arena's bytes mean. Nothing here holds a pointer: the arena can be
// mapped anywhere, by any process.
//
//   arena   [superblock 4 KiB][span table, 16 B a span][frame 0][frame 1] ...
//
// A *frame* is a 64 KiB piece of the arena; a *span* is what lives in one. The
// span table says which: spans keep their numbers when their content moves to
// another frame, so references never change when a span is packed.
//
//   block span                               cell span (objects, leaves)
//   +--------------------------------+       +------------------------------+
//   | SpanHeader, 32 B               |       | SpanHeader, 32 B             |
//   | block | block | block | ...    |       | cell | cell | cell | ...     |
//   |            free                |       |                              |
//   | ... | entry 2 | entry 1 | entry 0      |                              |
//   +--------------------------------+       +------------------------------+
//
// A *block* is one page's stored bytes, 8-byte aligned; its *entry* says where in
// the span it lies, how long it is, how it is encoded, how many keys refer to
// it, and its checksum. Blocks of ephemeral spans start with a back reference.
//
// A *leaf* holds the slots of 64 consecutive page indices of an object. A slot
// is 32 bits: where the block is, or a page of one repeated byte, or nothing.
//
//   slot    31      30 ......... 10  9 ........ 0
//           shared  span             entry index      span != 0: a block
//           0       0                0                empty
//           0       0                256 + byte       same-filled page
#ifndef TMEMD_ENGINE_LAYOUT_H_
#define TMEMD_ENGINE_LAYOUT_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace tmemd {

inline constexpr uint32_t kSpanBytes = 64 * 1024;
inline constexpr uint32_t kMaxSpans = 1u << 21;  // an arena of at most 128 GiB
inline constexpr uint32_t kSuperblockBytes = 4096;
inline constexpr uint32_t kEntriesPerSpanMax = 1u << 10;
inline constexpr uint32_t kLeafSlots = 64;

// --- references ----------------------------------------------------------------

using SpanNumber = uint32_t;  // 0 is never handed out

// A block: span and entry index. Also what a slot holds, with the shared bit.
using Loc = uint32_t;
inline constexpr Loc kSharedBit = 1u << 31;  // this key found its bytes already stored
inline constexpr uint32_t kEmptySlot = 0;
inline constexpr uint32_t kFirstFillSlot = 256;

constexpr Loc makeLoc(SpanNumber span, uint32_t entry) { return span << 10 | entry; }
constexpr SpanNumber spanOf(Loc loc) { return (loc & ~kSharedBit) >> 10; }
constexpr uint32_t entryOf(Loc loc) { return loc & (kEntriesPerSpanMax - 1); }
constexpr bool isBlock(uint32_t slot) { return spanOf(slot) != 0; }
constexpr bool isFill(uint32_t slot) { return spanOf(slot) == 0 && slot >= kFirstFillSlot; }

// A cell: span and cell index, 21 + 11 bits. 0 is none.
using CellRef = uint32_t;
constexpr CellRef makeCellRef(SpanNumber span, uint32_t cell) { return span << 11 | cell; }
constexpr SpanNumber cellSpan(CellRef ref) { return ref >> 11; }
constexpr uint32_t cellIndex(CellRef ref) { return ref & 2047; }

// --- spans -----------------------------------------------------------------------

enum class SpanKind : uint8_t {
  kFree = 0,
  kShared,     // blocks of persistent pages, shared inside a dedup group
  kReserve,    // blocks backed by one guest's reserve
  kEphemeral,  // blocks of one guest's ephemeral pages
  kObjects,
  kLeaves,
};

// Guarded by the lock of the bin or slab that owns the span. blockCount, kind,
// span and owner are what a recovery, not built yet, needs; the rest is derived.
struct SpanHeader {
  uint32_t span;
  SpanKind kind;
  uint8_t list;         // which list of its bin the span is on
  uint16_t blockCount;  // entries in use or free; cells touched
  uint32_t owner;       // id of the bin or guest
  uint32_t previous;    // neighbours on that list
  uint32_t next;
  uint16_t dataEndUnits;  // first never-used byte / 8
  uint16_t liveUnits;     // bytes of live blocks / 8
  uint16_t liveBlocks;    // entries or cells in use
  uint16_t freeHead;      // first free entry or cell + 1, 0: none
  uint32_t reserved;
};
static_assert(sizeof(SpanHeader) == 32);
inline constexpr uint32_t kSpanDataBytes = kSpanBytes - sizeof(SpanHeader);

// entry   63 ..... 32  31 ... 19  18 ... 7  6 5    4 .. 0
//         checksum     offset/8   length-1  codec  references, 0: free
// In a free entry `offset` is the index + 1 of the next free one.
using Entry = uint64_t;
inline constexpr uint32_t kMaxReferences = 31;  // one more duplicate starts a new copy

enum class Codec : uint32_t {
  kLz4 = 0,
  kLz4Settled = 1,  // recompressed in the background, same decoder
  kZstd = 2,
  kPlain = 3,  // 4096 bytes as they are, or 8 that repeat
};

constexpr Entry makeEntry(uint32_t checksum, uint32_t offsetUnits, uint32_t lengthBytes, Codec codec,
                          uint32_t references) {
  return uint64_t{checksum} << 32 | uint64_t{offsetUnits} << 19 | uint64_t{lengthBytes - 1} << 7 |
         uint64_t{static_cast<uint32_t>(codec)} << 5 | references;
}
constexpr uint32_t entryChecksum(Entry e) { return static_cast<uint32_t>(e >> 32); }
constexpr uint32_t entryOffsetUnits(Entry e) { return static_cast<uint32_t>(e >> 19) & 0x1fff; }
constexpr uint32_t entryLength(Entry e) { return (static_cast<uint32_t>(e >> 7) & 0xfff) + 1; }
constexpr Codec entryCodec(Entry e) { return static_cast<Codec>(e >> 5 & 3); }
constexpr uint32_t entryReferences(Entry e) { return static_cast<uint32_t>(e) & 31; }
constexpr Entry withOffset(Entry e, uint32_t offsetUnits) {
  return (e & ~(uint64_t{0x1fff} << 19)) | uint64_t{offsetUnits} << 19;
}

constexpr uint32_t unitsFor(uint32_t bytes) { return (bytes + 7) / 8; }

// Before the bytes of an ephemeral block: whose it is. 0 until the put published it.
using BackReference = uint64_t;
constexpr BackReference makeBackReference(CellRef leaf, uint32_t shard, uint32_t slot) {
  return uint64_t{leaf} << 32 | shard << 8 | slot;
}
constexpr CellRef backLeaf(BackReference r) { return static_cast<CellRef>(r >> 32); }
constexpr uint32_t backShard(BackReference r) { return static_cast<uint32_t>(r) >> 8; }
constexpr uint32_t backSlot(BackReference r) { return static_cast<uint32_t>(r) & 0xff; }

// --- cells -----------------------------------------------------------------------
// The first word is 0 in a free cell, and is stored last when one comes into
// use; the second links free cells.

struct Object {
  uint32_t poolTag;  // pool id + 1
  CellRef next;      // in the bucket of the object map
  uint64_t oid[3];
  uint64_t pages;  // slots in use
  CellRef firstLeaf;
  uint32_t leafCount;
};
static_assert(sizeof(Object) == 48);

struct Leaf {
  CellRef object;
  CellRef next;     // in the bucket of the leaf map
  uint32_t number;  // page index / 64
  CellRef previousOfObject;
  CellRef nextOfObject;
  uint8_t used;      // slots that are not empty
  uint8_t settled;   // how hard its pages were recompressed since the last put: 0, 1, 2
  uint16_t touched;  // the settling round it was last used in
  uint32_t slot[kLeafSlots];
};
static_assert(sizeof(Leaf) == 280);

// --- the span table --------------------------------------------------------------

// `frame` is the truth for recovery, together with the header in the frame.
struct SpanSlot {
  std::atomic<uint32_t> frame;
  std::atomic<uint32_t> pins;  // readers; the top bit: one that packs or frees it
  std::atomic<uint32_t> bin;   // id of the owning bin, 0: none
  std::atomic<uint32_t> state;  // SpanKind; of a free span see span_table.cc
};
static_assert(sizeof(SpanSlot) == 16);
static_assert(std::atomic<uint32_t>::is_always_lock_free);

}  // namespace tmemd

#endif  // TMEMD_ENGINE_LAYOUT_H_
