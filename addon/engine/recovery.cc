// Recovering the store of a killed process from its arena. In this order:
//
//   spans       which frame is whose                                  span_recovery.cc
//   records     guests, their sessions and pools                      records.cc
//   cells       objects and leaves of live pools into the maps; what a kill left half
//               removed, or of a pool that is gone, is freed
//   blocks      those that slots name, with as many references; others are free
//   gauges      what guests and pools hold, and their reserves
//
// Damage to what says which pages there are refuses the arena; damage to a slot or a
// block's place loses that page, which is CORRUPT from then on. Bytes are checked when
// they are got. The dedup index starts empty and is refilled by the settler.
//
// Recovery changes only what is derived, and frees garbage leaf before object, so it
// may itself be killed and begun anew.
#include <algorithm>
#include <cassert>
#include <cstring>

#include "engine/settler.h"
#include "engine/store_impl.h"

namespace tmemd {

class Recovery {
 public:
  explicit Recovery(Store::Impl& store) : store_(store), table_(store.table), owners_(Store::Impl::kBinsMax) {}

  void run(RecoveryReport* report) {
    try {
      findGuests();
      for (GuestInHand& in : guests_) findCells(in);
      findBlocks();
      for (GuestInHand& in : guests_) settleAccounts(in);
    } catch (...) {
      store_.abandon();
      throw;
    }
    if (report) *report = report_;
  }

 private:
  struct GuestInHand {
    Guest* guest;
    std::vector<SpanNumber> objectSpans;
    std::vector<SpanNumber> leafSpans;
  };
  // Of a bin's number, by the records.
  enum class Role : uint8_t { kNobody, kGone, kGroup, kReserve, kEphemeral };
  struct Owner {
    Role role = Role::kNobody;
    size_t guest = 0;  // of guests_, for kReserve
  };

  [[noreturn]] static void refuse(const std::string& what) { throw AttachError("arena: " + what); }
  [[noreturn]] static void refuse(const Guest& guest, const std::string& what) {
    refuse("guest " + guest.name + ": " + what);
  }

  void findGuests();
  void addGuest(const GuestRecords::FoundGuest& found);
  void claim(uint32_t bin, Role role, size_t guest);
  void sortSpan(SpanNumber span);

  void findCells(GuestInHand& in);
  void takeLeaf(GuestInHand& in, CellRef ref);
  CellRef objectOf(const Guest& guest, const Leaf& leaf);
  void setWhole(Leaf& leaf);

  void findBlocks();
  void nameBlocks(Guest& guest, Leaf& leaf);
  void takeBlocks(SpanNumber span, std::span<const Loc> named);
  bool overlaps(SpanNumber span, std::span<const uint32_t> counts) const;
  void markDamaged(GuestInHand& in);

  void settleAccounts(GuestInHand& in);

  template <typename Visit>  // Visit(PageMap::Shard&, CellRef object, CellRef leaf)
  void forEachLeaf(Guest& guest, Visit visit) {
    for (uint32_t i = 0; i < PageMap::kShards; i++) {
      PageMap::Shard& shard = guest.map.shard(i);
      shard.forEachObject([&](CellRef object) {
        for (CellRef leaf = shard.object(object).firstLeaf; leaf; leaf = shard.leaf(leaf).nextOfObject) {
          visit(shard, object, leaf);
        }
      });
    }
  }
  template <typename Cell, typename Visit>  // Visit(CellRef, Cell&); cells that are not free
  void forEachCell(const std::vector<SpanNumber>& spans, const CellSlab& slab, Visit visit) {
    for (SpanNumber span : spans) {
      for (uint32_t i = 0; i < CellSlab::cellsPerSpan(sizeof(Cell)); i++) {
        CellRef ref = makeCellRef(span, i);
        if (!slab.isFree(ref)) visit(ref, table_.cell<Cell>(ref));
      }
    }
  }
  Store::Impl& store_;
  SpanTable& table_;
  std::vector<Owner> owners_;  // by bin number
  std::vector<GuestInHand> guests_;
  std::vector<SpanNumber> blockSpans_;
  std::vector<Loc> named_;  // for every slot that names a block
  std::vector<Loc> bad_;    // of these: blocks that cannot be there
  RecoveryReport report_;
};

// --- guests ----------------------------------------------------------------------

void Recovery::claim(uint32_t bin, Role role, size_t guest) {
  if (bin == 0 || bin >= Store::Impl::kBinsMax) refuse("a guest's record is damaged");
  Owner& owner = owners_[bin];
  bool again = role == Role::kGroup && (owner.role == Role::kGroup || owner.role == Role::kGone);
  if (owner.role != Role::kNobody && !again) refuse("two guests' records name one bin");
  owner = {role, guest};
}

void Recovery::findGuests() {
  std::vector<SpanNumber> spans = table_.takeFound();
  auto rest = std::partition(spans.begin(), spans.end(),
                             [&](SpanNumber span) { return table_.kindOf(span) == SpanKind::kRecords; });
  std::vector<GuestRecords::FoundGuest> found = store_.records.recover({spans.begin(), rest});
  if (found.size() > Store::Impl::kGuestsMax) refuse("it holds more guests than there may be");
  for (const auto& one : found) {
    if (!one.leaving) continue;
    claim(one.identity.reserveBin, Role::kGone, 0);
    claim(one.identity.ephemeralBin, Role::kGone, 0);
    // Its group's, unless others are in it: they claim it again.
    if (one.identity.groupBin == 0 || one.identity.groupBin >= owners_.size()) refuse("a guest's record is damaged");
    owners_[one.identity.groupBin].role = Role::kGone;
  }
  for (const auto& one : found) {
    if (!one.leaving) addGuest(one);
  }
  for (auto at = rest; at != spans.end(); ++at) {
    uint32_t bin = table_.binOf(*at);
    if (bin >= owners_.size() || owners_[bin].role == Role::kNobody) {
      refuse("span " + std::to_string(*at) + " belongs to no guest");
    }
  }
  for (auto at = rest; at != spans.end(); ++at) sortSpan(*at);
  for (auto& one : found) {
    if (one.leaving) store_.records.remove(one.handle);
  }
  report_.guests = guests_.size();
}

void Recovery::addGuest(const GuestRecords::FoundGuest& found) {
  const GuestIdentity& identity = found.identity;
  GuestOptions options;
  options.name.assign(identity.name, identity.nameBytes);
  options.dedupGroup.assign(identity.group, identity.groupBytes);
  options.weight = found.settings.weight;
  options.capPages = found.settings.capPages;
  options.persistentReservePages = identity.reservePages;
  options.persistentLimitPages = found.settings.limitPages;
  options.frozen = found.settings.frozen != 0;
  options.maxPools = identity.maxPools;
  options.numaNode = identity.numaNode;
  store_.validate(options);
  size_t index = guests_.size();
  claim(identity.groupBin, Role::kGroup, index);
  claim(identity.reserveBin, Role::kReserve, index);
  claim(identity.ephemeralBin, Role::kEphemeral, index);
  DedupGroup* group = store_.groupWithBin(identity.groupBin, options.dedupGroup);
  Store::Impl::GuestPlace& at = store_.places[index];
  at.guest = std::make_unique<Guest>(options, table_, store_.hash, *group,
                                     Guest::BinIds{identity.reserveBin, identity.ephemeralBin},
                                     static_cast<uint32_t>(index));
  at.generation++;
  at.unclaimed = true;
  Guest& guest = *at.guest;
  store_.bins[identity.reserveBin].store(&guest.reserveBin, std::memory_order_release);
  store_.bins[identity.ephemeralBin].store(&guest.ephemeralBin, std::memory_order_release);
  store_.placesUsed.store(static_cast<uint32_t>(index) + 1, std::memory_order_release);
  guest.record = found.handle;
  guest.sessionId = found.settings.sessionId;
  guest.epoch = found.settings.epoch;
  for (size_t place = 0; place < found.pools.size(); place++) {
    PoolRecord record = found.pools[place];
    if (record == 0) continue;
    PoolId id = poolRecordId(record);
    guest.nextPoolId[place] = uint64_t{id} + found.pools.size();
    if (poolRecordState(record) == PoolState::kDestroyed) continue;
    guest.pools[place] = std::make_unique<Pool>(id, poolRecordState(record) == PoolState::kPersistent);
  }
  guests_.push_back({&guest, {}, {}});
}

// What becomes of a span, by its kind and owner. Ephemeral pages may all go.
void Recovery::sortSpan(SpanNumber span) {
  Owner owner = owners_[table_.binOf(span)];
  SpanKind kind = table_.kindOf(span);
  bool cells = kind == SpanKind::kObjects || kind == SpanKind::kLeaves;
  if (owner.role == Role::kGone) {
    table_.release(span, nullptr);
  } else if (owner.role == Role::kEphemeral && (cells || kind == SpanKind::kEphemeral)) {
    table_.release(span, nullptr);
  } else if (owner.role == Role::kReserve && cells) {
    GuestInHand& in = guests_[owner.guest];
    (kind == SpanKind::kObjects ? in.objectSpans : in.leafSpans).push_back(span);
  } else if ((owner.role == Role::kReserve && kind == SpanKind::kReserve) ||
             (owner.role == Role::kGroup && kind == SpanKind::kShared)) {
    blockSpans_.push_back(span);
  } else {
    refuse("span " + std::to_string(span) + " is of a kind its owner has none of");
  }
}

// --- objects and leaves ------------------------------------------------------------

void Recovery::findCells(GuestInHand& in) {
  Guest& guest = *in.guest;
  forEachCell<Object>(in.objectSpans, guest.persistentObjects, [&](CellRef ref, Object& object) {
    if (object.check != table_.check().ofObject(ref, object.poolTag, object.oid)) refuse(guest, "an object is damaged");
    Pool* pool = guest.pool(object.poolTag - 1);
    if (pool && !pool->persistent) refuse(guest, "an object is of a pool of another kind");
    object.leafCount = 0;  // until its first leaf is found
  });
  forEachCell<Leaf>(in.leafSpans, guest.persistentLeaves, [&](CellRef ref, Leaf& leaf) {
    if (leaf.nameCheck != table_.check().ofLeafName(ref, leaf.object, leaf.number) ||
        leaf.number > UINT32_MAX / kLeafSlots) {
      refuse(guest, "a leaf is damaged");
    }
    takeLeaf(in, ref);
  });
  // Leaves of pools that are gone went above; these are their objects, and such as
  // a kill left without a leaf.
  forEachCell<Object>(in.objectSpans, guest.persistentObjects, [&](CellRef ref, Object& object) {
    if (object.leafCount == 0) guest.persistentObjects.unpublish(ref);
  });
  for (SpanNumber span : in.objectSpans) guest.persistentObjects.adopt(span);
  for (SpanNumber span : in.leafSpans) guest.persistentLeaves.adopt(span);
}

// A leaf's object, which must be there as long as the leaf is.
CellRef Recovery::objectOf(const Guest& guest, const Leaf& leaf) {
  SpanNumber span = cellSpan(leaf.object);
  if (span == 0 || span >= table_.spanCount() || table_.kindOf(span) != SpanKind::kObjects ||
      table_.binOf(span) != guest.reserveBin.id() ||
      cellIndex(leaf.object) >= CellSlab::cellsPerSpan(sizeof(Object)) ||
      guest.persistentObjects.isFree(leaf.object)) {
    refuse(guest, "the object of a leaf is gone");
  }
  return leaf.object;
}

void Recovery::setWhole(Leaf& leaf) {
  leaf.slotChecks[0] = leaf.slotChecks[1] = table_.check().ofSlots(leaf);
  leaf.used = 0;
  for (uint32_t value : leaf.slot) leaf.used = static_cast<uint8_t>(leaf.used + (value != kEmptySlot));
}

void Recovery::takeLeaf(GuestInHand& in, CellRef ref) {
  Guest& guest = *in.guest;
  Leaf& leaf = table_.cell<Leaf>(ref);
  CellRef objectRef = objectOf(guest, leaf);
  Object& object = table_.cell<Object>(objectRef);
  uint32_t sum = table_.check().ofSlots(leaf);
  if (sum != leaf.slotChecks[0] && sum != leaf.slotChecks[1]) {
    // Which of them, nobody knows: none may be taken for a page, nor for none.
    std::fill(std::begin(leaf.slot), std::end(leaf.slot), kDamagedSlot);
  }
  setWhole(leaf);
  if (leaf.used == 0 || !guest.pool(object.poolTag - 1)) {
    guest.persistentLeaves.unpublish(ref);
    return;
  }
  leaf.settled = 0;
  leaf.touched = 0;
  uint64_t hash = guest.map.hashOf(object.poolTag - 1, object.oid);
  PageMap::Shard& shard = guest.map.shard(PageMap::shardOf(hash));
  if (object.leafCount == 0 && !shard.adoptObject(hash, objectRef)) refuse(guest, "an object is there twice");
  if (!shard.adoptLeaf(ref)) refuse(guest, "a leaf is there twice");
  nameBlocks(guest, leaf);
}

// --- blocks ------------------------------------------------------------------------

// Notes the blocks a leaf names; a slot that names what cannot be one is damaged.
void Recovery::nameBlocks(Guest& guest, Leaf& leaf) {
  bool changed = false;
  for (uint32_t& value : leaf.slot) {
    if (isPlainSlot(value)) continue;
    SpanNumber span = spanOf(value);
    SpanKind kind = span != 0 && span < table_.spanCount() ? table_.kindOf(span) : SpanKind::kFree;
    uint32_t bin = kind == SpanKind::kFree ? 0 : table_.binOf(span);
    if ((kind == SpanKind::kShared && bin == guest.group.bin.id()) ||
        (kind == SpanKind::kReserve && bin == guest.reserveBin.id())) {
      named_.push_back(value & ~kSharedBit);
    } else {
      value = kDamagedSlot;
      changed = true;
    }
  }
  if (changed) setWhole(leaf);
}

void Recovery::findBlocks() {
  // By span: a count for each, then each to its place.
  std::vector<uint32_t> begin(table_.spanCount() + 1);
  for (Loc loc : named_) begin[spanOf(loc) + 1]++;
  for (uint32_t span = 0; span < table_.spanCount(); span++) begin[span + 1] += begin[span];
  std::vector<Loc> bySpan(named_.size());
  std::vector<uint32_t> next(begin.begin(), begin.end() - 1);
  for (Loc loc : named_) bySpan[next[spanOf(loc)]++] = loc;
  for (SpanNumber span : blockSpans_) {
    takeBlocks(span, {bySpan.data() + begin[span], begin[span + 1] - begin[span]});
  }
  if (bad_.empty()) return;
  std::sort(bad_.begin(), bad_.end());
  for (GuestInHand& in : guests_) markDamaged(in);
}

void Recovery::takeBlocks(SpanNumber span, std::span<const Loc> named) {
  std::array<uint32_t, kEntriesPerSpanMax> counts{};
  for (Loc loc : named) counts[entryOf(loc)]++;
  // Entries grow down from the end; those of lower numbers lie above.
  uint32_t entries = 0;
  for (uint32_t i = 0; i < kEntriesPerSpanMax; i++) {
    if (counts[i] > 0) entries = i + 1;
  }
  auto lose = [&](uint32_t i) {
    bad_.push_back(makeLoc(span, i));
    counts[i] = 0;
  };
  for (uint32_t i = 0; i < entries; i++) {
    if (counts[i] == 0) continue;
    Entry e = table_.entry(span, i).load(std::memory_order_relaxed);
    uint32_t end = entryOffsetUnits(e) * 8 + unitsFor(entryLength(e)) * 8;
    if (counts[i] > kMaxReferences || entryOffsetUnits(e) * 8 < sizeof(SpanHeader) ||
        end > kSpanBytes - entries * sizeof(Entry)) {
      lose(i);
    }
  }
  if (overlaps(span, {counts.data(), entries})) {
    // An entry is damaged: those whose bytes are right stay.
    for (uint32_t i = 0; i < entries; i++) {
      if (counts[i] == 0) continue;
      Entry e = table_.entry(span, i).load(std::memory_order_relaxed);
      const std::byte* bytes = table_.bytes(span) + entryOffsetUnits(e) * 8;
      if (store_.hash.stored(bytes, entryLength(e), entryCodec(e)) != entryChecksum(e)) lose(i);
    }
  }
  while (entries > 0 && counts[entries - 1] == 0) entries--;
  Bin* bin = store_.bins[table_.binOf(span)].load(std::memory_order_relaxed);
  if (entries == 0) {
    table_.release(span, nullptr);
  } else {
    bin->adopt(span, {counts.data(), entries});
  }
}

bool Recovery::overlaps(SpanNumber span, std::span<const uint32_t> counts) const {
  std::array<uint8_t, kSpanBytes / 8> covered{};
  for (uint32_t i = 0; i < counts.size(); i++) {
    if (counts[i] == 0) continue;
    Entry e = table_.entry(span, i).load(std::memory_order_relaxed);
    uint8_t* at = covered.data() + entryOffsetUnits(e);
    uint32_t units = unitsFor(entryLength(e));
    if (std::memchr(at, 1, units)) return true;
    std::memset(at, 1, units);
  }
  return false;
}

void Recovery::markDamaged(GuestInHand& in) {
  forEachLeaf(*in.guest, [&](PageMap::Shard& shard, CellRef, CellRef ref) {
    Leaf& leaf = shard.leaf(ref);
    bool changed = false;
    for (uint32_t& value : leaf.slot) {
      if (!isBlock(value) || !std::binary_search(bad_.begin(), bad_.end(), value & ~kSharedBit)) continue;
      value = kDamagedSlot;
      changed = true;
    }
    if (changed) setWhole(leaf);
  });
}

// --- what guests hold -----------------------------------------------------------------

void Recovery::settleAccounts(GuestInHand& in) {
  Guest& guest = *in.guest;
  for (uint32_t i = 0; i < PageMap::kShards; i++) {
    guest.map.shard(i).forEachObject([&](CellRef ref) {
      Object& object = guest.map.shard(i).object(ref);
      raise(guest.pool(object.poolTag - 1)->counters.objects, guest.pool(object.poolTag - 1)->counters.objectsMax);
      raise(guest.objects, guest.objectsMax);
    });
  }
  forEachLeaf(guest, [&](PageMap::Shard& shard, CellRef objectRef, CellRef ref) {
    Object& object = shard.object(objectRef);
    Leaf& leaf = shard.leaf(ref);
    Pool& pool = *guest.pool(object.poolTag - 1);
    object.pages += leaf.used;
    bump(pool.counters.pages, leaf.used);
    bump(guest.pages, leaf.used);
    bump(guest.persistentPages, leaf.used);
    for (uint32_t value : leaf.slot) {
      if (value == kEmptySlot) continue;
      report_.damagedPages += value == kDamagedSlot;
      Store::Impl::KeptPage page{value, 0, Codec::kPlain};
      if (isBlock(value)) {
        Entry e = table_.entry(spanOf(value), entryOf(value)).load(std::memory_order_relaxed);
        page = {value, entryLength(e), entryCodec(e)};
      }
      store_.countKept(guest, pool, page);
    }
  });
  for (auto& pool : guest.pools) {
    if (pool) keepHighest(pool->counters.pagesMax, pool->counters.pages);
  }
  keepHighest(guest.pagesMax, guest.pages);
  report_.pages += guest.pages;
  store_.setReserve(guest);
}


Store::Impl::Impl(int arenaFd, const StoreOptions& given, RecoveryReport* report)
    : options(given), table(arenaFd), hash(table.secret()), index(table), records(table) {
  options.arenaFd = arenaFd;
  options.capacityBytes = table.capacityBytes();
  Recovery(*this).run(report);
  if (options.backgroundSettling) settler = std::make_unique<Settler>(*this, true);
}

std::unique_ptr<Store> Store::recover(int arenaFd, const StoreOptions& options, RecoveryReport* report) {
  return std::unique_ptr<Store>(new Store(std::make_unique<Impl>(arenaFd, options, report)));
}

}  // namespace tmemd
