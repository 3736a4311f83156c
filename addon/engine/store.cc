// The store itself and its guests: they come, go, and change their limits.
#include "engine/store.h"

#include <sys/random.h>

#include <algorithm>
#include <cassert>
#include <cstdlib>

#include "engine/settler.h"
#include "engine/store_impl.h"

namespace tmemd {

namespace {

constexpr uint32_t kWeightMax = 1000000;

void checkCapacity(uint64_t capacityBytes) {
  constexpr uint64_t kMost = uint64_t{kMaxSpans} * (kSpanBytes + sizeof(SpanSlot)) + kSuperblockBytes;
  if (capacityBytes < SpanTable::kMinimumCapacityBytes || capacityBytes > kMost) {
    throw ConfigError("capacity of " + std::to_string(capacityBytes) + " bytes: allowed are " +
                      std::to_string(SpanTable::kMinimumCapacityBytes) + " to " + std::to_string(kMost));
  }
}

const StoreOptions& checked(const StoreOptions& options) {
  checkCapacity(options.capacityBytes);
  return options;
}

}  // namespace

uint64_t randomNonZero() {
  uint64_t value = 0;
  while (value == 0) {
    if (getrandom(&value, sizeof value, 0) != sizeof value) value = 0;
  }
  return value;
}

WorkerContext::WorkerContext() : scratch_(std::make_unique<Scratch>()) {}
WorkerContext::~WorkerContext() = default;
std::byte* WorkerContext::page(size_t number) { return scratch_->codec.pages + number * kPageBytes; }

Store::Store(const StoreOptions& options) : impl_(std::make_unique<Impl>(checked(options))) {}
Store::Store(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Store::~Store() = default;

uint64_t Store::minimumCapacityBytes() { return SpanTable::kMinimumCapacityBytes; }

Store::Impl::Impl(const StoreOptions& storeOptions)
    : options(storeOptions),
      table(storeOptions.capacityBytes, storeOptions.hashSecret ? *storeOptions.hashSecret : randomNonZero(),
            storeOptions.arenaFd),
      hash(table.secret()),
      index(table, [this] { return indexedBlocks(); }),
      records(table) {
  if (options.backgroundSettling) settler = std::make_unique<Settler>(*this, false);
}

Store::Impl::~Impl() {
  settler.reset();
  if (options.arenaFd >= 0) {
    abandon();
    return;
  }
  for (GuestPlace& at : places) {
    if (!at.guest) continue;
    beginLeaving(at);
    dropDyingPools(at, *at.guest, true);
    dismiss(at);
  }
}

uint32_t Store::Impl::newBinId() {
  for (uint32_t id = 1; id < kBinsMax; id++) {
    if (!bins[id].load(std::memory_order_relaxed)) return id;
  }
  std::abort();  // three for each of kGuestsMax guests
}

DedupGroup* Store::Impl::joinGroup(const std::string& name) {
  if (!name.empty()) {
    for (auto& group : groups) {
      if (group->name == name) return group.get();
    }
  }
  return groupWithBin(newBinId(), name);
}

DedupGroup* Store::Impl::groupWithBin(uint32_t binId, const std::string& name) {
  for (auto& group : groups) {
    if (group->bin.id() == binId) return group.get();
  }
  groups.push_back(std::make_unique<DedupGroup>(name, randomNonZero(), table, binId));
  bins[binId].store(&groups.back()->bin, std::memory_order_release);
  return groups.back().get();
}

void Store::Impl::leaveGroup(DedupGroup* group) {
  if (group->guestCount > 0) return;
  uint32_t binId = group->bin.id();
  bins[binId].store(nullptr, std::memory_order_relaxed);
  std::erase_if(groups, [&](const auto& candidate) { return candidate.get() == group; });
  table.forgetBin(binId);
}

void Store::Impl::validateLimits(const GuestOptions& guest) const {
  auto refuse = [&](const std::string& what) { throw ConfigError("guest " + guest.name + ": " + what); };
  if (guest.weight < 1 || guest.weight > kWeightMax) {
    refuse("weight " + std::to_string(guest.weight) + ": allowed are 1 to " + std::to_string(kWeightMax));
  }
  std::string reserve = std::to_string(guest.persistentReservePages);
  if (guest.persistentLimitPages && guest.persistentLimitPages < guest.persistentReservePages) {
    refuse("persistent limit of " + std::to_string(guest.persistentLimitPages) +
           " pages: allowed are 0 and from the reserve of " + reserve + " up");
  }
  if (guest.capPages && guest.capPages < guest.persistentReservePages) {
    refuse("cap of " + std::to_string(guest.capPages) + " pages: allowed are 0 and from the reserve of " + reserve +
           " up");
  }
}

void Store::Impl::validate(const GuestOptions& guest) const {
  validateLimits(guest);
  for (const std::string* name : {&guest.name, &guest.dedupGroup}) {
    if (name->size() <= kNameBytesMax) continue;
    throw ConfigError("guest " + guest.name + ": a name of " + std::to_string(name->size()) +
                      " bytes: allowed are up to " + std::to_string(kNameBytesMax));
  }
  if (guest.maxPools < 1) throw ConfigError("guest " + guest.name + ": maxPools 0: allowed are 1 to 65535");
  constexpr uint64_t kPagesMax = uint64_t{kMaxSpans} * Bin::kWorstCaseBlocks;
  uint64_t pages = std::min(guest.persistentReservePages, kPagesMax);
  uint64_t frames = Guest::reserveFrames(pages).total();
  if (guest.persistentReservePages > kPagesMax || !table.fits(frames)) {
    throw ConfigError("guest " + guest.name + ": reserve of " + std::to_string(guest.persistentReservePages) +
                      " pages costs up to " + std::to_string(frames * kSpanBytes) +
                      " bytes: all reserves together must fit the " + std::to_string(table.budgetBytes()) +
                      " bytes for pages of a capacity of " + std::to_string(options.capacityBytes));
  }
}

template <typename Enough>
bool Store::Impl::evictUntil(Guest& requester, Enough enough) {
  WorkerContext context;
  context.scratch().background = true;
  for (int waits = 0; !enough();) {
    if (evictForRoom(context, requester)) continue;
    const WorkerContext::Scratch::Awaited& awaited = context.scratch().awaited;
    // A gate opens; spans may be in use, by one after the other, for ever.
    if (!awaited || (awaited.spansInUse && ++waits > kWaitsPerPut)) return false;
    awaitRoom(context);
  }
  return true;
}

void Store::Impl::setReserve(Guest& guest) {
  Guest::ReserveFrames frames = Guest::reserveFrames(guest.reservePages);
  bool enough = evictUntil(guest, [&] {
    return table.reserve(guest.dataQuota, frames.data) && table.reserve(guest.leafQuota, frames.leaves) &&
           table.reserve(guest.objectQuota, frames.objects);
  });
  if (enough) return;
  throw ConfigError("guest " + guest.name + ": reserve of " + std::to_string(guest.reservePages) + " pages needs " +
                    std::to_string(frames.total() * kSpanBytes) + " bytes: pages held leave too little room now");
}

// Not published: the guest is not there for a recovery yet.
void Store::Impl::writeRecord(Guest& guest, const GuestOptions& given) {
  GuestIdentity identity{};
  std::copy(given.name.begin(), given.name.end(), identity.name);
  std::copy(given.dedupGroup.begin(), given.dedupGroup.end(), identity.group);
  identity.nameBytes = static_cast<uint16_t>(given.name.size());
  identity.groupBytes = static_cast<uint16_t>(given.dedupGroup.size());
  identity.reservePages = given.persistentReservePages;
  identity.groupBin = guest.group.bin.id();
  identity.reserveBin = guest.reserveBin.id();
  identity.ephemeralBin = guest.ephemeralBin.id();
  identity.numaNode = given.numaNode;
  identity.maxPools = given.maxPools;
  GuestSettings settings{0, given.capPages, given.persistentLimitPages, given.weight, given.frozen, 0};
  bool made = evictUntil(guest, [&] {
    std::optional<GuestRecords::Handle> record = records.add(identity, settings);
    if (record) guest.record = *record;
    return record.has_value();
  });
  if (!made) throw ConfigError("guest " + guest.name + ": pages held leave no room for its record now");
}

// Makes the guest's present settings those a recovery finds.
void Store::Impl::changeSettings(Guest& guest, bool newSession) {
  if (newSession) guest.epoch++;
  records.change(guest.record, {guest.sessionId, guest.capPages.load(), guest.limitPages.load(), guest.weight.load(),
                                guest.frozen.load(), guest.epoch});
}

std::optional<GuestId> Store::guestNamed(const std::string& name) const {
  std::lock_guard<std::mutex> control(impl_->controlMutex);
  for (uint32_t i = 0; i < Impl::kGuestsMax; i++) {
    const Impl::GuestPlace& at = impl_->places[i];
    if (at.guest && !at.leaving && at.guest->name == name) return GuestId{at.generation * Impl::kGuestsMax + i};
  }
  return std::nullopt;
}

GuestId Store::addGuest(const GuestOptions& options) {
  try {
    return impl_->makeGuest(options);
  } catch (const ConfigError&) {
    // One that is leaving may make room.
    if (impl_->leaving.try_lock()) {
      impl_->leaving.unlock();
      throw;
    }
  }
  std::lock_guard<std::mutex> gone(impl_->leaving);
  return impl_->makeGuest(options);
}

// The guest is there for counters and for a recovery only once its record is published; nobody has its id before.
GuestId Store::Impl::makeGuest(const GuestOptions& given) {
  uint32_t free = 0;
  GuestPlace* at;
  {
    std::lock_guard<std::mutex> control(controlMutex);
    if (std::optional<GuestId> claimed = claim(given)) return *claimed;
    validate(given);
    while (free < kGuestsMax && places[free].guest) free++;
    if (free == kGuestsMax) {
      throw ConfigError("guest " + given.name + ": at most " + std::to_string(kGuestsMax) + " guests");
    }
    at = &places[free];
    DedupGroup* group = joinGroup(given.dedupGroup);
    Guest::BinIds ids{newBinId(), 0};
    // Taken, so that the next id is another.
    bins[ids.reserve].store(&group->bin, std::memory_order_relaxed);
    ids.ephemeral = newBinId();
    auto guest = std::make_unique<Guest>(given, table, hash, *group, ids, free);
    bins[ids.reserve].store(&guest->reserveBin, std::memory_order_release);
    bins[ids.ephemeral].store(&guest->ephemeralBin, std::memory_order_release);
    Change change(*at);
    at->guest = std::move(guest);
    at->generation++;
  }
  // Pages may have to go first, which takes a while.
  try {
    writeRecord(*at->guest, given);
    setReserve(*at->guest);
  } catch (const ConfigError&) {
    dismiss(*at);
    throw;
  }
  std::lock_guard<std::mutex> control(controlMutex);
  records.publish(at->guest->record);
  if (free >= placesUsed.load(std::memory_order_relaxed)) placesUsed.store(free + 1, std::memory_order_release);
  return GuestId{at->generation * kGuestsMax + free};
}

// Nobody's id names the guest from here on, and all its pools are dying.
Guest* Store::Impl::beginLeaving(GuestPlace& at) {
  Change change(at);
  Guest& guest = *at.guest;
  if (guest.record.guest) records.leave(guest.record);
  at.generation++;
  at.leaving = true;
  at.unclaimed = false;
  guest.sessionId = 0;
  guest.retirePools();
  return &guest;
}

// With no page left.
void Store::Impl::dismiss(GuestPlace& at) {
  std::lock_guard<std::mutex> control(controlMutex);
  Guest& guest = *at.guest;
  table.reserve(guest.dataQuota, 0);
  table.reserve(guest.leafQuota, 0);
  table.reserve(guest.objectQuota, 0);
  GuestRecords::Handle record = std::move(guest.record);
  uint32_t binIds[] = {guest.reserveBin.id(), guest.ephemeralBin.id()};
  for (uint32_t id : binIds) bins[id].store(nullptr, std::memory_order_relaxed);
  retiredEvictions += guest.counters().evictedTotal;
  retiredEvictionAttempts += guest.evictionAttempts.load(std::memory_order_relaxed);
  retiredCorrupt += guest.corruptFound.load(std::memory_order_relaxed);
  DedupGroup* group = &guest.group;
  std::unique_ptr<Guest> gone;
  {
    Change change(at);
    gone = std::move(at.guest);
    at.leaving = false;
  }
  gone.reset();
  for (uint32_t id : binIds) table.forgetBin(id);
  leaveGroup(group);
  // Last: while a recovery could find a span of its bins, it must find whose it is.
  if (record.guest) records.remove(record);
}

void Store::removeGuest(GuestId guestId) {
  std::lock_guard<std::mutex> leaving(impl_->leaving);
  Impl::GuestPlace& at = *impl_->place(guestId);
  SpinGuard control(at.controlling);
  Guest* guest;
  {
    std::lock_guard<std::mutex> membership(impl_->controlMutex);
    if (!Impl::guestIn(at, guestId)) return;
    guest = impl_->beginLeaving(at);
  }
  impl_->dropDyingPools(at, *guest, true);
  impl_->dismiss(at);
}

void Store::updateGuest(GuestId guestId, const GuestTuning& tuning) {
  std::lock_guard<std::mutex> control(impl_->controlMutex);
  Impl::GuestPlace* at = impl_->place(guestId);
  Impl::Change change(*at);
  Guest* guest = Impl::guestIn(*at, guestId);
  if (!guest) throw ConfigError("no such guest");
  GuestOptions wanted;
  wanted.name = guest->name;
  wanted.weight = tuning.weight.value_or(guest->weight.load());
  wanted.capPages = tuning.capPages.value_or(guest->capPages.load());
  wanted.persistentLimitPages = tuning.persistentLimitPages.value_or(guest->limitPages.load());
  wanted.persistentReservePages = guest->reservePages;
  impl_->validateLimits(wanted);
  guest->weight = wanted.weight;
  guest->capPages = wanted.capPages;
  guest->limitPages = wanted.persistentLimitPages;
  guest->frozen = tuning.frozen.value_or(guest->frozen.load());
  impl_->changeSettings(*guest, false);
}

}  // namespace tmemd
