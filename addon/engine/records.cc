#include "engine/records.h"

#include <cstring>
#include <string>

#include "engine/store.h"

namespace tmemd {

namespace {

template <typename Word>
void publishWord(Word& word, Word value) {
  // release: what was written before is there when this is.
  std::atomic_ref<Word>(word).store(value, std::memory_order_release);
}

uint32_t currentOf(const GuestRecord& record) { return record.current == kSettingsWord[1] ? 1 : 0; }

[[noreturn]] void refuse(const std::string& what) { throw AttachError("arena: " + what + " is damaged"); }

}  // namespace

uint64_t GuestRecords::poolsCheck(CellRef ref) const {
  const PoolsRecord& cell = pools(ref);
  struct {
    uint32_t first;
    CellRef guest;
  } name{cell.first, cell.guest};
  return table_.check().of(name, ref);
}

std::optional<GuestRecords::Handle> GuestRecords::add(const GuestIdentity& identity, const GuestSettings& settings) {
  Handle handle;
  handle.guest = slab_.allocate();
  if (!handle.guest) return std::nullopt;
  for (uint32_t i = 0; i < poolCells(identity.maxPools); i++) {
    CellRef ref = slab_.allocate();
    if (!ref) {
      remove(handle);
      return std::nullopt;
    }
    PoolsRecord& cell = pools(ref);
    cell.first = i * kPoolsPerRecord;
    cell.guest = handle.guest;
    cell.check = poolsCheck(ref);
    clearPools(ref, handle.guest);
    publishWord(cell.tag, kPoolsTag);
    handle.pools.push_back(ref);
  }
  GuestRecord& record = guest(handle.guest);
  record.current = kSettingsWord[1];
  record.identity = identity;
  record.identityCheck = table_.check().of(identity, handle.guest);
  change(handle, settings);
  return handle;
}

void GuestRecords::publish(const Handle& handle) { publishWord(guest(handle.guest).tag, kGuestTag); }

void GuestRecords::change(const Handle& handle, const GuestSettings& settings) {
  GuestRecord& record = guest(handle.guest);
  uint32_t other = 1 - currentOf(record);
  record.settings[other] = settings;
  record.settingsCheck[other] = table_.check().of(settings, uint64_t{handle.guest} << 1 | other);
  publishWord(record.current, kSettingsWord[other]);
}

GuestSettings GuestRecords::settings(const Handle& handle) const {
  const GuestRecord& record = guest(handle.guest);
  return record.settings[currentOf(record)];
}

void GuestRecords::setPool(const Handle& handle, uint32_t place, uint32_t id, PoolState state) {
  uint32_t epoch = settings(handle).epoch;
  uint32_t check = table_.check().ofPool(handle.guest, place, id, state, epoch);
  publishWord(pools(handle.pools[place / kPoolsPerRecord]).pool[place % kPoolsPerRecord],
              makePoolRecord(id, state, epoch, check));
}

void GuestRecords::clearPools(const Handle& handle) {
  for (CellRef ref : handle.pools) clearPools(ref, handle.guest);
}

void GuestRecords::clearPools(CellRef ref, CellRef owner) {
  PoolsRecord& cell = pools(ref);
  for (uint32_t i = 0; i < kPoolsPerRecord; i++) {
    uint32_t check = table_.check().ofPool(owner, cell.first + i, 0, PoolState::kNever, 0);
    publishWord(cell.pool[i], makePoolRecord(0, PoolState::kNever, 0, check));
  }
}

void GuestRecords::leave(const Handle& handle) { publishWord(guest(handle.guest).tag, kLeavingTag); }

void GuestRecords::remove(Handle& handle) {
  for (CellRef ref : handle.pools) slab_.free(ref);
  slab_.free(handle.guest);
  handle = {};
}

GuestRecords::FoundGuest GuestRecords::readGuest(CellRef ref) const {
  const GuestRecord& record = guest(ref);
  FoundGuest found{{ref, {}}, record.tag == kLeavingTag, record.identity, {}, {}};
  const GuestIdentity& identity = found.identity;
  if (record.identityCheck != table_.check().of(identity, ref) || identity.nameBytes > kNameBytesMax ||
      identity.groupBytes > kNameBytesMax || identity.maxPools == 0) {
    refuse("a guest's record");
  }
  std::string name(identity.name, identity.nameBytes);
  uint32_t current = currentOf(record);
  found.settings = record.settings[current];
  if (record.current != kSettingsWord[current] ||
      record.settingsCheck[current] != table_.check().of(found.settings, uint64_t{ref} << 1 | current)) {
    refuse("the record of guest " + name);
  }
  return found;
}

void GuestRecords::readPools(FoundGuest& found, const std::vector<CellRef>& cells) const {
  std::string name(found.identity.name, found.identity.nameBytes);
  found.handle.pools.assign(poolCells(found.identity.maxPools), 0);
  for (CellRef ref : cells) {
    const PoolsRecord& cell = pools(ref);
    uint32_t position = cell.first / kPoolsPerRecord;
    if (position < found.handle.pools.size()) found.handle.pools[position] = ref;
  }
  found.pools.assign(found.identity.maxPools, 0);
  for (uint32_t place = 0; place < found.identity.maxPools; place++) {
    CellRef ref = found.handle.pools[place / kPoolsPerRecord];
    if (!ref) {
      // A guest that was being removed may have lost some already.
      if (found.leaving) continue;
      refuse("the pool table of guest " + name);
    }
    PoolRecord pool = pools(ref).pool[place % kPoolsPerRecord];
    uint32_t id = poolRecordId(pool);
    uint32_t epoch = poolRecordEpoch(pool);
    uint32_t check = table_.check().ofPool(found.handle.guest, place, id, poolRecordState(pool), epoch);
    bool never = poolRecordState(pool) == PoolState::kNever;
    if (pool != makePoolRecord(id, poolRecordState(pool), epoch, check) ||
        (!never && id % found.identity.maxPools != place)) {
      refuse("a pool's record of guest " + name);
    }
    if (!never && epoch == found.settings.epoch % kPoolEpochs) found.pools[place] = pool;
  }
  std::erase(found.handle.pools, 0u);
}

std::vector<GuestRecords::FoundGuest> GuestRecords::recover(const std::vector<SpanNumber>& spans) {
  std::vector<FoundGuest> guests;
  std::vector<CellRef> poolCellsFound;
  for (SpanNumber span : spans) {
    for (uint32_t i = 0; i < CellSlab::cellsPerSpan(kRecordBytes); i++) {
      CellRef ref = makeCellRef(span, i);
      if (slab_.isFree(ref)) continue;
      switch (guest(ref).tag) {
        case kGuestTag:
        case kLeavingTag:
          guests.push_back(readGuest(ref));
          break;
        case kPoolsTag:
          if (pools(ref).check != poolsCheck(ref)) refuse("a pool table");
          poolCellsFound.push_back(ref);
          break;
        default:
          refuse("the tag of a record");
      }
    }
  }
  std::vector<CellRef> orphans;
  std::vector<std::vector<CellRef>> cells(guests.size());
  for (CellRef ref : poolCellsFound) {
    size_t i = 0;
    while (i < guests.size() && guests[i].handle.guest != pools(ref).guest) i++;
    (i < guests.size() ? cells[i] : orphans).push_back(ref);
  }
  for (size_t i = 0; i < guests.size(); i++) readPools(guests[i], cells[i]);
  // Of a guest that was being added or removed.
  for (CellRef ref : orphans) slab_.unpublish(ref);
  for (SpanNumber span : spans) slab_.adopt(span);
  return guests;
}

}  // namespace tmemd
