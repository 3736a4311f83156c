// The store's parts put together. See README.md beside the folder for the model.
//
// Threads. Page operations run on any thread, inside the gate of their guest. A control
// operation holds its guest's `controlling` lock from beginning to end, and closes the gate
// only for the microseconds in which it changes what page operations read; what takes longer,
// dropping a pool's pages, it does inside the open gate, a slice of kDropSteps at a time.
// Counters are read under a place's `reading` lock, without the gate.
//
// Eviction runs on the thread that needs room, which holds no lock but its own gate: it
// enters its victim's gate only if that is open. Where only guests whose gates are closed
// could yield, the put is taken back: its thread leaves its own gate, enters the other, evicts,
// and begins the page again (Store::put). It does the same, after a nap, where the last spans that could
// yield are in other threads' hands: evicted just now, or taking a block. So nobody who is inside a
// gate waits for another.
//
// Lock order: controlling > controlMutex > guest gate > reading > map shard > bin or slab > span
// table. `controlling` is held for as long as a drop takes, controlMutex only for short: counters
// wait for that one.
//
// A block's life, and who may read it. What says where a block lies is its entry; what says
// that it is there is a reference: a slot's, or one that a thread holds itself (a put before
// it published, a duplicate it compares).
//
//   entry     its references change under the bin's lock, as long as there are any. All else in
//             it changes while nobody has the span pinned: packing takes it exclusively, and a
//             last reference that goes while the span is pinned retires the entry (bin.h). But
//             of a block with references one LZ4 codec may become another (markTried) while readers
//             are there: by one atomic store of all 64 bits, before and after which every reader reads the same.
//   slot      changes under its shard's lock, and what it named is let go under the same lock.
//   a reader  pins under the shard's lock while the slot names the block, or while it holds a
//             reference itself. Whoever lets the last reference go had that shard's lock, or the
//             bin's, after the pin was taken, so sees it. From the pin to unpin() the reader
//             may read entry and bytes with no lock, whatever becomes of the slot, and if the slot
//             then holds the same value still, it is the same block.
//
//   get, the settler's walks             pin under the shard's lock
//   lookAhead, sameContent,
//   setBackReference                     pin with a reference of their own
//   tryShare, listVictims, isStill,
//   pack, isDraining, markTried          hold the bin's lock, and look at spans the table says are
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
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/codec.h"
#include "engine/dedup_index.h"
#include "engine/guest.h"
#include "engine/leaf_walk.h"
#include "engine/records.h"
#include "engine/span_table.h"
#include "engine/store.h"

namespace tmemd {

class Settler;

// For secrets, salts and session ids.
uint64_t randomNonZero();

struct WorkerContext::Scratch {
  bool background = false;  // of a thread without a worker's priority: see Gate
  // Where there is room that an eviction could not get at.
  struct Awaited {
    std::optional<uint32_t> closedPlace;  // behind the closed gate of this place
    bool spansInUse = false;  // in spans that others are at work in, or took as soon as they were evicted
    explicit operator bool() const { return closedPlace || spansInUse; }
  } awaited;
  bool mayWait = false;  // the put in progress may wait for it
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
    SpinLock controlling;  // by one control operation after the other
    SpinLock reading;      // held with the gate closed where what counters read is changed
    std::unique_ptr<Guest> guest;  // changed so; and with controlMutex held, as who is there
    uint32_t generation = 0;
    bool unclaimed = false;  // recovered; guarded by controlMutex
    bool leaving = false;    // its pages are being dropped; the same
  };
  GuestPlace* place(GuestId id) { return &places[static_cast<uint32_t>(id) % kGuestsMax]; }
  // Closes the gate for a change.
  struct Change {
    explicit Change(GuestPlace& at) : closure(at.gate), reading(at.reading) {}
    GateClosure closure;
    SpinGuard reading;
  };
  // With the gate entered or closed, or `reading` held: the guest, if the id still names it.
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
  GuestId makeGuest(const GuestOptions& options);        // throws ConfigError
  Guest* beginLeaving(GuestPlace& at);
  void dismiss(GuestPlace& at);
  // --- one process after the other: see succession.cc ---
  std::optional<GuestId> claim(const GuestOptions& options);  // throws ConfigError
  void abandon();
  void writeRecord(Guest& guest, const GuestOptions& options);  // throws ConfigError
  // `background`: the thread is no worker. 0 when there is no such guest.
  uint64_t openSession(GuestId id, uint64_t sessionId, bool background);
  void changeSettings(Guest& guest, bool newSession);
  // How much of a drop is done under one hold of a shard's lock: each bucket, object and page is a step.
  static constexpr uint32_t kDropSteps = 128;
  // With `controlling` held and the gate open.
  void dropDyingPools(GuestPlace& at, Guest& guest, bool background);
  // True when there may be more.
  bool dropSlice(Guest& guest, PageMap::Shard& shard, ChainTable::Place* at);

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
  // Of the pages from number `first` on. Ends early where scratch().awaited says what to wait for.
  PutResult putPages(WorkerContext& context, Guest& guest, Pool& pool, PageKey key, uint32_t first, uint32_t pageCount);
  // None: nothing was done, for there is something to wait for first: scratch().awaited.
  std::optional<Status> putPage(WorkerContext& context, Guest& guest, Pool& pool, const PageKey& key, PutInHand& hand);
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
  bool makePlace(Guest& guest, Pool& pool, const PageKey& key, SlotPlace& at, bool mayEvict);
  uint64_t indexedBlocks();
  // With controlMutex held, as bins stay then: how many blocks the index may name, and whether that is one.
  uint64_t countIndexedBlocks() const;
  bool isIndexable(Loc loc) const;
  Status refuse(Guest& guest, Pool& pool, const PageKey& key, Refusal why);
  // Spans evicted for one page at most, in either half of a put.
  static constexpr int kEvictionsPerPut = 8;
  // How often a put waits at most, for another's gate or for spans in use. One wait gives room unless
  // others take it first.
  static constexpr int kWaitsPerPut = 64;
  // Spans looked at in vain, and guests so passed over, before an eviction gives up. A block that does not
  // yield is one being put: there are no more of these than threads.
  static constexpr int kFruitlessSpans = 4;
  static constexpr int kFruitlessGuests = 8;
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
  // The pool's counter of what kind of page that is.
  static std::atomic<uint64_t>& kindCounter(Pool& pool, uint32_t value, uint32_t lengthBytes, Codec codec);
  void countKept(Guest& guest, Pool& pool, const KeptPage& page);
  // A slot that held one form of its page holds another; with the shard locked.
  void countMoved(Guest& guest, Pool& pool, const KeptPage& from, const KeptPage& to);
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
  // Where a flush is. It leaves off when somebody waits for the gate.
  struct FlushInHand {
    static constexpr uint32_t kListedAtOnce = 256;  // leaves, under one hold of the shard's lock
    static constexpr uint32_t kRestartsMax = 8;     // of the list; then every leaf of the range is looked for
    enum class Way { kUnknown, kByRange, kList, kListed };

    PageKey key;
    uint64_t end = 0;    // index behind the last
    uint64_t found = 0;  // pages
    bool done = false;
    Way way = Way::kUnknown;
    uint64_t next = 0;  // leaf of the range, or of `numbers`
    std::vector<uint32_t> numbers;
    uint32_t lastListed = 0;
    CellRef lastListedRef = 0;
    uint32_t restarts = 0;
  };
  template <typename Flush>
  Status flushInSteps(GuestId guestId, PoolId poolId, FlushInHand& hand, Flush counted);
  void flushRange(Gate& gate, Guest& guest, Pool& pool, FlushInHand& hand);
  void chooseLeaves(const Pool& pool, PageMap::Shard& shard, uint64_t objectHash, FlushInHand& hand, uint32_t firstLeaf,
                    uint32_t lastLeaf);

  // --- eviction ----------------------------------------------------------------------
  // Drops one span of ephemeral pages of the guest most above its share. False when nothing could be
  // dropped: there is none that could yield, or scratch().awaited says what to wait for.
  bool evictForRoom(WorkerContext& context, Guest& requester);
  // Waits for what scratch().awaited says, and evicts where it was a gate. The caller is inside none.
  void awaitRoom(WorkerContext& context);
  bool evictFrom(WorkerContext& context, Guest& victim);
  // For control operations: again and again, waiting for gates, until `enough()`. False when
  // nothing more could be dropped before.
  template <typename Enough>
  bool evictUntil(Guest& requester, Enough enough);
  bool evictPage(Guest& guest, Bin::Victim victim);

  // --- settling: see settler.h ---------------------------------------------------------
  // What is done with one page in hand; all let go of it. Its guest's gate is entered.
  // Recompresses it, if it was not tried already: level 1 LZ4 searched harder, 2 zstd too.
  void resettle(WorkerContext& context, SettlingEncoder& encoder, Guest& guest, const PageInHand& page,
                int level);
  // Moves it out of a span that is being drained.
  void moveOut(WorkerContext& context, Guest& guest, const PageInHand& page);
  // Makes it known as a duplicate of pages to come.
  void reindex(WorkerContext& context, Guest& guest, const PageInHand& page);
  // Makes its slot name another form or place of the same page, if it still names the block.
  void replaceBlock(Guest& guest, const PageInHand& page, const KeptPage& by);
  template <typename Fits>
  KeptPage anotherCopy(WorkerContext& context, Bin& bin, uint64_t contentHash, Loc from, Fits fits);

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
  GuestRecords records;  // a guest's settings: guarded by its gate; its pools' words: by `controlling`
  std::array<std::atomic<Bin*>, kBinsMax> bins{};
  std::array<GuestPlace, kGuestsMax> places;
  std::atomic<uint32_t> placesUsed{0};  // highest place ever used + 1
  std::atomic<uint16_t> round{0};       // of settling; what Leaf::touched counts

  std::mutex leaving;  // held while a guest's pages are dropped; outside all others
  mutable std::mutex controlMutex;  // guards what follows
  uint64_t retiredEvictions = 0;    // of guests that were removed
  uint64_t retiredEvictionAttempts = 0;
  uint64_t retiredCorrupt = 0;
  std::vector<std::unique_ptr<DedupGroup>> groups;

  std::unique_ptr<Settler> settler;  // last: it ends first
};

}  // namespace tmemd

#endif  // TMEMD_ENGINE_STORE_IMPL_H_
