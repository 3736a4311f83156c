// What the arena's bytes mean. Nothing here holds a pointer: the arena can be
// mapped anywhere, by any process.
//
//   arena   [superblock 4 KiB][span table, 16 B a span][frame 0][frame 1] ...
//
// The superblock says what the file is and carries the key of all checks. It is
// written once.
//
// A *frame* is a 64 KiB piece of the arena; a *span* is what lives in one. The
// span table says which: spans keep their numbers when their content moves to
// another frame, so references never change when a span is packed.
//
//   block span                               cell span (objects, leaves, records)
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
//           0       0                1                a page that damage took: CORRUPT
//
// *Records* are cells too: a guest with its session and limits, and its pools.
//
// What a new process reads after a kill is marked "kept" below; everything else is
// derived from it. Kept things are complete before the one aligned store that
// publishes them, and carry a check (check.h), so that damage is told from what a
// killed process left half done, which nothing names yet.
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
inline constexpr uint32_t kDamagedSlot = 1;  // made by recovery, never by a put
inline constexpr uint32_t kFirstFillSlot = 256;

constexpr Loc makeLoc(SpanNumber span, uint32_t entry) { return span << 10 | entry; }
constexpr SpanNumber spanOf(Loc loc) { return (loc & ~kSharedBit) >> 10; }
constexpr uint32_t entryOf(Loc loc) { return loc & (kEntriesPerSpanMax - 1); }
constexpr bool isBlock(uint32_t slot) { return spanOf(slot) != 0; }
constexpr bool isFill(uint32_t slot) { return spanOf(slot) == 0 && slot >= kFirstFillSlot; }
// Is it one of the values a slot without a block may have?
constexpr bool isPlainSlot(uint32_t slot) {
  return slot == kEmptySlot || slot == kDamagedSlot || (slot >= kFirstFillSlot && slot < kFirstFillSlot + 256);
}

// A cell: span and cell index, 21 + 11 bits. 0 is none.
using CellRef = uint32_t;
constexpr CellRef makeCellRef(SpanNumber span, uint32_t cell) { return span << 11 | cell; }
constexpr SpanNumber cellSpan(CellRef ref) { return ref >> 11; }
constexpr uint32_t cellIndex(CellRef ref) { return ref & 2047; }

// --- the superblock --------------------------------------------------------------

inline constexpr uint64_t kArenaMagic = 0x616e657261'6d74u;  // "tmarena"
inline constexpr uint32_t kArenaVersion = 3;
// Version 2 is the same without blocks of kLz4Final: it is taken over, and is of version 3 from then on, so
// that a program that does not know these blocks leaves it alone.
inline constexpr uint32_t kArenaVersionBefore = 2;

// Kept, all of it. `magic` is stored last.
struct Superblock {
  uint64_t magic;
  uint32_t version;
  uint32_t spanBytes;
  uint64_t capacityBytes;
  uint64_t fileBytes;
  uint32_t spanCount;
  uint32_t leafBytes;  // a cell's: tells a build with another layout
  uint64_t secret;     // of page hashes and checks
  uint64_t check;      // over all of it as it would be in version 2
};

// --- spans -----------------------------------------------------------------------

enum class SpanKind : uint8_t {
  kFree = 0,
  kShared,     // blocks of persistent pages, shared inside a dedup group
  kReserve,    // blocks backed by one guest's reserve
  kEphemeral,  // blocks of one guest's ephemeral pages
  kObjects,
  kLeaves,
  kRecords,
};
inline constexpr uint32_t kRecordsOwner = 0xffff;  // no bin has this id

// Guarded by the lock of the bin or slab that owns the span. Kept: span, kind,
// owner and check. A header whose check is right makes its frame the span's, if the
// span table says so too.
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
  uint32_t check;         // stored last; 0 in a frame that is free
};
static_assert(sizeof(SpanHeader) == 32);
inline constexpr uint32_t kSpanDataBytes = kSpanBytes - sizeof(SpanHeader);

// entry   63 ..... 32  31 ... 19  18 ... 7  6 5    4 .. 0
//         checksum     offset/8   length-1  codec  references, 0: free
// In a free entry `offset` is the index + 1 of the next free one. Kept: all but the
// references, of entries that a slot names.
using Entry = uint64_t;
inline constexpr uint32_t kMaxReferences = 31;  // one more duplicate starts a new copy

// Three of them are LZ4, for one decoder and with one checksum: they tell what the background tried.
enum class Codec : uint32_t {
  kLz4 = 0,
  kLz4Settled = 1,  // LZ4 searched harder: made so, or found to be no smaller
  kZstd = 2,
  kPlain = 3,     // 4096 bytes as they are, or 8 that repeat
  kLz4Final = 4,  // neither LZ4 searched harder nor zstd makes it any smaller
};
constexpr bool isLz4(Codec codec) { return codec != Codec::kZstd && codec != Codec::kPlain; }

// The entry's two bits have no fifth value: kLz4Final has those of kPlain, and its length, which
// no plain block has and no LZ4 block of a page could have, tells them apart.
constexpr bool isPlainLength(uint32_t lengthBytes) {
  return lengthBytes == 4096 || lengthBytes == sizeof(uint64_t);
}
constexpr uint64_t codecBits(Codec codec) {
  return uint64_t{static_cast<uint32_t>(codec == Codec::kLz4Final ? Codec::kPlain : codec)} << 5;
}

constexpr Entry makeEntry(uint32_t checksum, uint32_t offsetUnits, uint32_t lengthBytes, Codec codec,
                          uint32_t references) {
  return uint64_t{checksum} << 32 | uint64_t{offsetUnits} << 19 | uint64_t{lengthBytes - 1} << 7 |
         codecBits(codec) | references;
}
constexpr uint32_t entryChecksum(Entry e) { return static_cast<uint32_t>(e >> 32); }
constexpr uint32_t entryOffsetUnits(Entry e) { return static_cast<uint32_t>(e >> 19) & 0x1fff; }
constexpr uint32_t entryLength(Entry e) { return (static_cast<uint32_t>(e >> 7) & 0xfff) + 1; }
constexpr Codec entryCodec(Entry e) {
  Codec codec = static_cast<Codec>(e >> 5 & 3);
  return codec == Codec::kPlain && !isPlainLength(entryLength(e)) ? Codec::kLz4Final : codec;
}
constexpr uint32_t entryReferences(Entry e) { return static_cast<uint32_t>(e) & 31; }
constexpr Entry withOffset(Entry e, uint32_t offsetUnits) {
  return (e & ~(uint64_t{0x1fff} << 19)) | uint64_t{offsetUnits} << 19;
}

constexpr Entry withCodec(Entry e, Codec codec) { return (e & ~(uint64_t{3} << 5)) | codecBits(codec); }
constexpr Entry withReferences(Entry e, uint32_t references) { return (e & ~uint64_t{31}) | references; }

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
// One word of a cell says whether it is free: `check`, `nameCheck`, or the `tag` of a record.
// It is never 0, from before its span is published on: so memory that came to read as zeros
// is told from a free cell. One store to it publishes a cell, one takes it back. The second
// word links free cells.

// Kept: poolTag, oid, check, which is stored last.
struct Object {
  uint32_t poolTag;  // pool id + 1
  CellRef next;      // in the bucket of the object map
  uint64_t oid[3];
  uint32_t check;
  uint32_t pages;  // slots in use, modulo 2^32: only audited
  CellRef firstLeaf;
  uint32_t leafCount;
};
static_assert(sizeof(Object) == 48);

// Kept: object, number, nameCheck, slotChecks, slot. `slotChecks` is a sum over the
// slots, not 0 when they are all empty, made before the slot is stored: [0] is what it will be, [1] what it is
// until the slot is stored, and then too. A
// leaf is whole when either is right, so a kill between the stores costs nothing.
struct Leaf {
  CellRef object;
  CellRef next;     // in the bucket of the leaf map
  uint32_t number;  // page index / 64
  CellRef previousOfObject;
  CellRef nextOfObject;
  uint8_t used;      // slots that are not empty
  uint8_t settled;   // how hard its pages were recompressed since the last put: 0, 1, 2. Above the
                     // low four bits: how hard they are being recompressed, or 0
  uint16_t touched;  // the settling round it was last used in
  uint32_t nameCheck;
  uint32_t slotChecks[2];
  uint32_t slot[kLeafSlots];
};
static_assert(sizeof(Leaf) == 292);

// --- records -----------------------------------------------------------------------
// One cell for a guest, and as many as it takes for its pools. The tag says
// which, and whether the guest is there: stored last, and first when one goes.

inline constexpr uint32_t kRecordBytes = 1024;
inline constexpr uint32_t kNameBytesMax = 256;
inline constexpr uint32_t kGuestTag = 0x74736775;
inline constexpr uint32_t kLeavingTag = 0x7661656c;  // being removed: its pages are garbage
inline constexpr uint32_t kPoolsTag = 0x6c6f6f70;
// Which of a guest's two settings counts. Words far apart, so that damage is no switch.
inline constexpr uint32_t kSettingsWord[2] = {0x5a3c9669, 0xa5c36996};

// What a guest is, for as long as it is there.
struct GuestIdentity {
  char name[kNameBytesMax];
  char group[kNameBytesMax];
  uint64_t reservePages;
  uint32_t groupBin;
  uint32_t reserveBin;
  uint32_t ephemeralBin;
  int32_t numaNode;
  uint16_t maxPools;
  uint16_t nameBytes;
  uint16_t groupBytes;
  uint16_t zero;
};

// What changes: written beside the one that counts, which `current` then names.
struct GuestSettings {
  uint64_t sessionId;  // 0: none open
  uint64_t capPages;
  uint64_t limitPages;
  uint32_t weight;
  uint16_t frozen;
  uint16_t epoch;  // of the session, modulo kPoolEpochs: older pools are garbage
};

struct GuestRecord {
  uint32_t tag;
  uint32_t current;
  GuestIdentity identity;
  uint64_t identityCheck;
  GuestSettings settings[2];
  uint64_t settingsCheck[2];
};
static_assert(sizeof(GuestRecord) <= kRecordBytes);

// pool   63 .... 32  31 30  29 28  27 ... 0
//        id          state  epoch  check, odd
using PoolRecord = uint64_t;
inline constexpr uint32_t kPoolEpochs = 4;
enum class PoolState : uint32_t { kNever = 0, kPersistent = 1, kEphemeral = 2, kDestroyed = 3 };
constexpr PoolRecord makePoolRecord(uint32_t id, PoolState state, uint32_t epoch, uint32_t check) {
  return uint64_t{id} << 32 | static_cast<uint32_t>(state) << 30 | (epoch % kPoolEpochs) << 28 | (check & 0xfffffff);
}
constexpr uint32_t poolRecordId(PoolRecord r) { return static_cast<uint32_t>(r >> 32); }
constexpr PoolState poolRecordState(PoolRecord r) { return static_cast<PoolState>(r >> 30 & 3); }
constexpr uint32_t poolRecordEpoch(PoolRecord r) { return static_cast<uint32_t>(r >> 28) & 3; }

inline constexpr uint32_t kPoolsPerRecord = 120;
struct PoolsRecord {
  uint32_t tag;
  uint32_t first;  // place of pool[0] among the guest's
  CellRef guest;
  uint32_t zero;
  uint64_t check;
  PoolRecord pool[kPoolsPerRecord];
};
static_assert(sizeof(PoolsRecord) <= kRecordBytes);

// --- the span table --------------------------------------------------------------

// Kept: `frame`, together with the header in the frame. `state` is stored after the
// header when a span is taken and before it when one is freed, so a cell span that
// `state` tells of and no header does was damaged.
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
