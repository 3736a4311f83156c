// Recovery: guests before their pages are found, and what they hold after. See recovery.h.
#include "engine/recovery.h"

#include <algorithm>

#include "engine/settler.h"

namespace tmemd {

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
  for (uint32_t bin = 1; bin < owners_.size(); bin++) {
    if (owners_[bin].role == Role::kGone) table_.forgetBin(bin);
  }
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
  } else if (owner.role == Role::kReserve && (cells || kind == SpanKind::kReserve)) {
    GuestInHand& in = guests_[owner.guest];
    Guest& guest = *in.guest;
    bool objects = kind == SpanKind::kObjects;
    table_.adopt(cells ? objects ? guest.objectQuota : guest.leafQuota : guest.dataQuota);
    (cells ? objects ? in.objectSpans : in.leafSpans : blockSpans_).push_back(span);
  } else if (owner.role == Role::kGroup && kind == SpanKind::kShared) {
    blockSpans_.push_back(span);
  } else {
    refuse("span " + std::to_string(span) + " is of a kind its owner has none of");
  }
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
}


Store::Impl::Impl(int arenaFd, const StoreOptions& given, RecoveryReport* report)
    : options(given),
      table(arenaFd),
      hash(table.secret()),
      index(table, [this] { return indexedBlocks(); }),
      records(table) {
  options.arenaFd = arenaFd;
  options.capacityBytes = table.capacityBytes();
  Recovery(*this).run(report);
  if (options.backgroundSettling) settler = std::make_unique<Settler>(*this, true);
}

std::unique_ptr<Store> Store::recover(int arenaFd, const StoreOptions& options, RecoveryReport* report) {
  return std::unique_ptr<Store>(new Store(std::make_unique<Impl>(arenaFd, options, report)));
}

}  // namespace tmemd
