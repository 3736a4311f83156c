// The store's parts put together. See README.md beside the folder for the model.
//
// Threads. Page operations run on any thread, inside the gate of their guest;
// control operations close that gate, and hold controlMutex where they change
// the set of guests and groups. Eviction runs on the thread that needs room: it
// holds no lock but its own gate when it starts, and enters its victim's gate
// only if that is open, so no two ever wait for each other.
//
// Lock order: controlMutex > guest gate > map shard > bin or slab > span table.
//
// A block's life, and who may read it. What says where a block lies is its entry; what says
// that it is there is a reference: a slot's, or one that a thread holds itself (a put before
// it published, a duplicate it compares).
//
//   entry     its references change under the bin's lock, as long as there are any. All else in
//             it changes while nobody has the span pinned: packing takes it exclusively, and a
//             last reference that goes while the span is pinned retires the entry (bin.h).
//   slot      changes under its shard's lock, and what it named is let go under the same lock.
//   a reader  pins under the shard's lock while the slot names the block, or while it holds a
//             reference itself. Whoever lets the last reference go had that shard's lock, or the
//             bin's, after the pin was taken, so sees it. From the pin to unpin() the reader
//             may read entry and bytes with no lock, whatever becomes of the slot, and if the slot
//             then holds the same value still, it is the same block.
//
//   get, reindexLeaf, resettle           pin under the shard's lock
//   lookAhead, sameContent,
//   setBackReference                     pin with a reference of their own
//   tryShare, listVictims, isStill,
//   pack, isDraining                     hold the bin's lock, and look at spans the table says are
//                                        the bin's; of entries at those with references
//   prefetches                           may ask for any line: they read nothing
//   huge pages                           the kernel moves bytes, not addresses
//
// Accounting, in bytes (checkInvariants() tests every line):
//   used     = fixed + borrowed + idle frames x 64 Ki + taken frames x 64 Ki
//   taken    = spans of all bins + spans of all slabs, the records' included
//   data     = lengths of all blocks, once each
//   metadata = fixed + borrowed + span headers + entries, back references and
//              cells in use
//   slack    = used - data - metadata
//   used    <= capacity
//   references of a block = slots that name it
#ifndef TMEMD_ENGINE_STORE_IMPL_H_
#define TMEMD_ENGINE_STORE_IMPL_H_

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/codec.h"
#include "engine/dedup_index.h"
#include "engine/guest.h"
#include "engine/records.h"
#include "engine/span_table.h"
#include "engine/store.h"

namespace tmemd {

class Settler;

// For secrets, salts and session ids.
uint64_t randomNonZero();

struct WorkerContext::Scratch {
  CodecScratch codec;
  std::vector<Bin::Victim> victims = std::vector<Bin::Victim>(kEntriesPerSpanMax);
};

struct Store::Impl {
  static constexpr uint32_t kGuestsMax = 1024;
  static constexpr uint32_t kBinsMax = 3 * kGuestsMax + 1;  // id 0 is none

  explicit Impl(const StoreOptions& options);
  Impl(int arenaFd, const StoreOptions& options, RecoveryReport* report);  // recovers
  ~Impl();

  // --- guests --------------------------------------------------------------------
  struct GuestPlace {
    Gate gate;
    std::unique_ptr<Guest> guest;  // changed with the gate closed
    uint32_t generation = 0;
    bool unclaimed = false;  // recovered; guarded by controlMutex
  };
  GuestPlace* place(GuestId id) { return &places[static_cast<uint32_t>(id) % kGuestsMax]; }
  // With the gate entered or closed: the guest, if the id still names it.
  static Guest* guestIn(const GuestPlace& at, GuestId id) {
    return at.guest && at.generation == static_cast<uint32_t>(id) / kGuestsMax ? at.guest.get() : nullptr;
  }
  DedupGroup* joinGroup(const std::string& name);
  DedupGroup* groupWithBin(uint32_t binId, const std::string& name);  // for recovery
  void leaveGroup(DedupGroup* group);
  uint32_t newBinId();
  void validate(const GuestOptions& guest) const;        // throws ConfigError
  void validateLimits(const GuestOptions& guest) const;  // throws ConfigError
  void setReserve(Guest& guest);                         // throws ConfigError
  void dismiss(GuestPlace& at);
  // --- one process after the other: see succession.cc ---
  std::optional<GuestId> claim(const GuestOptions& options);  // throws ConfigError
  void abandon();
  void writeRecord(Guest& guest, const GuestOptions& options);  // throws ConfigError
  void openSession(Guest& guest, uint64_t sessionId);
  void changeSettings(Guest& guest, bool newSession);
  // With the gate closed.
  void dropPages(Guest& guest, const Pool* only);
  void dropObject(Guest& guest, Pool& pool, PageMap::Shard& shard, CellRef object);
  void forgetPools(Guest& guest);
  void forgetPool(Guest& guest, std::unique_ptr<Pool>& pool);

  // --- one page --------------------------------------------------------------------
  Bin& binOf(Loc loc) const { return *bins[table.binOf(spanOf(loc))].load(std::memory_order_relaxed); }
  // A key's place while its shard is locked.
  struct SlotPlace {
    PageMap::Shard* shard;
    uint64_t objectHash;
    CellRef object;  // 0: none
    CellRef leaf;    // 0: none
    uint32_t slot;
    uint32_t value;
  };
  SlotPlace find(PageMap::Shard& shard, uint64_t objectHash, const PageKey& key) const;
  struct PutInHand {
    const std::byte* page = nullptr;
    bool lookedAhead = false;      // what follows is there
    std::optional<uint64_t> word;  // that it repeats; else its hashes:
    uint64_t pageHash = 0;
    uint64_t contentHash = 0;
    Loc referenced = 0;  // a block that is probably the page, ours until letGo(); 0: none
  };
  PutResult putPages(WorkerContext& context, Guest& guest, Pool& pool, PageKey key, uint32_t pageCount);
  Status putPage(WorkerContext& context, Guest& guest, Pool& pool, const PageKey& key, PutInHand& hand);
  void lookAhead(Guest& guest, std::span<PutInHand> pages);
  void hashPage(const Guest& guest, PutInHand& hand) const;
  void letGo(PutInHand& hand);
  // What a slot will hold for a page, and what it costs.
  struct KeptPage {
    uint32_t value;  // kEmptySlot: there was no room
    uint32_t lengthBytes;
    Codec codec;
  };
  KeptPage keepPage(WorkerContext& context, Guest& guest, bool persistent, PutInHand& hand);
  Bin* sharedBin(Guest& guest, Loc loc) const;
  KeptPage shareDuplicate(WorkerContext& context, Guest& guest, PutInHand& hand, Loc* stale);
  bool sameContent(WorkerContext& context, const std::byte* page, Loc loc, Entry* entry);
  KeptPage storeBlock(WorkerContext& context, Guest& guest, bool persistent, const EncodedPage& page);
  Refusal publish(WorkerContext& context, Guest& guest, Pool& pool, const PageKey& key, const KeptPage& page,
                  bool* replaced);
  Refusal tryPublish(Guest& guest, Pool& pool, const PageKey& key, uint64_t objectHash, const KeptPage& page,
                     bool mayEvict, bool* replaced);
  bool makePlace(Guest& guest, Pool& pool, const PageKey& key, SlotPlace& at);
  uint64_t indexedBlocks();
  Status refuse(Guest& guest, Pool& pool, const PageKey& key, Refusal why);
  // Spans evicted for one put at most.
  static constexpr int kEvictionsPerPut = 8;
  static constexpr size_t kGetsAhead = 16;
  struct GetInHand {
    Pool* pool = nullptr;  // null: there is none
    uint64_t objectHash = 0;
    uint32_t value = kEmptySlot;
    std::byte* bytes = nullptr;  // the pinned span, then the block; null: no block
    Entry entry = 0;
    void prefetchEntry() const;
    void readEntry();
    void prefetchBlock() const;
  };
  // `before`: the status of the op before these; returns that of the last one done.
  Status getBatch(WorkerContext& context, Guest& guest, std::span<GetOp> ops, Status before);
  const Leaf* likelyLeaf(Guest& guest, const PageKey& key) const;
  void locate(Guest& guest, const GetOp& op, GetInHand& hand);
  Status deliver(WorkerContext& context, Guest& guest, const GetOp& op, const GetInHand& hand);
  // Publishes a slot: what it names is complete, the leaf's check is right before and after.
  void setSlot(Leaf& leaf, uint32_t slot, uint32_t value);
  // Removes what a slot holds, and the leaf and object when they become empty.
  void clearSlot(Guest& guest, Pool& pool, const SlotPlace& at);
  void countKept(Guest& guest, Pool& pool, const KeptPage& page);
  void releaseValue(Guest& guest, Pool& pool, uint32_t value);
  // Many at once; changes `values`.
  void releaseValues(Guest& guest, Pool& pool, std::span<uint32_t> values);
  // After `count` slots of a leaf were emptied: the gauges, and the leaf and object
  // when they are empty.
  void forgetPages(Guest& guest, Pool& pool, const SlotPlace& at, uint64_t count);
  uint64_t flushLeaf(Guest& guest, Pool& pool, PageMap::Shard& shard, uint64_t objectHash, const PageKey& key,
                     uint32_t number, uint32_t from, uint32_t to);
  // Empties the slots [from, to) of a leaf whose shard is locked, and removes leaf and object
  // when they become empty. Returns how many held a page.
  uint64_t emptyLeaf(Guest& guest, Pool& pool, const SlotPlace& at, uint32_t from, uint32_t to);
  uint64_t flushRange(Guest& guest, Pool& pool, const PageKey& key, uint64_t pageCount);

  // --- eviction ----------------------------------------------------------------------
  // Drops one span of ephemeral pages of the guest most above its share. False when
  // nothing could be dropped.
  bool evictForRoom(WorkerContext& context, Guest& requester);
  bool evictFrom(WorkerContext& context, Guest& victim);
  bool evictPage(Guest& guest, Bin::Victim victim);

  // --- settling: see settler.h ---------------------------------------------------------
  struct SettlePolicy {
    uint16_t hardAfterRounds;  // not touched for so long: LZ4 searched harder
    uint16_t coldAfterRounds;  // and zstd
  };
  using SettleClock = std::chrono::steady_clock;
  struct LeafName {
    uint64_t objectHash;
    CellRef object;
    uint32_t number;
  };
  // Moves a leaf's blocks out of draining spans and, with a policy, recompresses them
  // when it is cold. False when `until` came first.
  bool settleLeaf(WorkerContext& context, SettlingEncoder& encoder, Guest& guest, PageMap::Shard& shard,
                  LeafName name, const SettlePolicy* policy, SettleClock::time_point until);
  // Replaces a slot's block by another form or place of the same page, if the slot
  // still holds `value` in the end.
  void resettle(WorkerContext& context, SettlingEncoder& encoder, Guest& guest, PageMap::Shard& shard, LeafName name,
                uint32_t slot, uint32_t value, int level);
  KeptPage movedCopy(WorkerContext& context, Bin& bin, uint64_t contentHash, Loc from);
  uint64_t operationsSoFar();
  // Puts a leaf's blocks into the index again, after recovery.
  bool reindexLeaf(WorkerContext& context, Guest& guest, PageMap::Shard& shard, LeafName name,
                   SettleClock::time_point until);

  // --- counters ------------------------------------------------------------------------
  std::string check();
  void forEachBin(const auto& visit) const {
    for (uint32_t id = 1; id < kBinsMax; id++) {
      if (Bin* bin = bins[id].load(std::memory_order_acquire)) visit(*bin);
    }
  }

  StoreOptions options;  // not changed once the store is made
  SpanTable table;
  PageHash hash;
  DedupIndex index;
  GuestRecords records;  // guarded by the gate of the guest; adding and removing by controlMutex
  std::array<std::atomic<Bin*>, kBinsMax> bins{};
  std::array<GuestPlace, kGuestsMax> places;
  std::atomic<uint32_t> placesUsed{0};  // highest place ever used + 1
  std::atomic<uint16_t> round{0};       // of settling; what Leaf::touched counts

  mutable std::mutex controlMutex;  // guards what follows
  uint64_t retiredEvictions = 0;    // of guests that were removed
  uint64_t retiredEvictionAttempts = 0;
  uint64_t retiredCorrupt = 0;
  std::vector<std::unique_ptr<DedupGroup>> groups;

  std::unique_ptr<Settler> settler;  // last: it ends first
};

}  // namespace tmemd

#endif  // TMEMD_ENGINE_STORE_IMPL_H_
