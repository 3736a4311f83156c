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
    records.leave(at.guest->record);
    dropPages(*at.guest, nullptr);
    records.remove(at.guest->record);
    at.guest.reset();
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
  bins[group->bin.id()].store(nullptr, std::memory_order_relaxed);
  std::erase_if(groups, [&](const auto& candidate) { return candidate.get() == group; });
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
                      " bytes: all reserves together must fit the capacity of " +
                      std::to_string(options.capacityBytes));
  }
}

void Store::Impl::setReserve(Guest& guest) {
  Guest::ReserveFrames frames = Guest::reserveFrames(guest.reservePages);
  WorkerContext context;
  while (!(table.reserve(guest.dataQuota, frames.data) && table.reserve(guest.leafQuota, frames.leaves) &&
           table.reserve(guest.objectQuota, frames.objects))) {
    if (!evictForRoom(context, guest)) {
      throw ConfigError("guest " + guest.name + ": reserve of " + std::to_string(guest.reservePages) +
                        " pages needs " + std::to_string(frames.total() * kSpanBytes) +
                        " bytes: pages held leave too little room now");
    }
  }
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
  WorkerContext context;
  for (;;) {
    if (std::optional<GuestRecords::Handle> made = records.add(identity, settings)) {
      guest.record = *made;
      return;
    }
    if (!evictForRoom(context, guest)) {
      throw ConfigError("guest " + guest.name + ": pages held leave no room for its record now");
    }
  }
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
    if (at.guest && at.guest->name == name) return GuestId{at.generation * Impl::kGuestsMax + i};
  }
  return std::nullopt;
}

GuestId Store::addGuest(const GuestOptions& options) {
  std::lock_guard<std::mutex> control(impl_->controlMutex);
  if (std::optional<GuestId> claimed = impl_->claim(options)) return *claimed;
  impl_->validate(options);
  uint32_t index = 0;
  while (index < Impl::kGuestsMax && impl_->places[index].guest) index++;
  if (index == Impl::kGuestsMax) {
    throw ConfigError("guest " + options.name + ": at most " + std::to_string(Impl::kGuestsMax) + " guests");
  }
  Impl::GuestPlace& at = impl_->places[index];
  GateClosure closure(at.gate);
  DedupGroup* group = impl_->joinGroup(options.dedupGroup);
  Guest::BinIds ids{impl_->newBinId(), 0};
  // Taken, so that the next id is another.
  impl_->bins[ids.reserve].store(&group->bin, std::memory_order_relaxed);
  ids.ephemeral = impl_->newBinId();
  at.guest = std::make_unique<Guest>(options, impl_->table, impl_->hash, *group, ids, index);
  impl_->bins[ids.reserve].store(&at.guest->reserveBin, std::memory_order_release);
  impl_->bins[ids.ephemeral].store(&at.guest->ephemeralBin, std::memory_order_release);
  at.generation++;
  try {
    impl_->writeRecord(*at.guest, options);
    impl_->setReserve(*at.guest);
  } catch (const ConfigError&) {
    impl_->dismiss(at);
    throw;
  }
  impl_->records.publish(at.guest->record);
  if (index >= impl_->placesUsed.load(std::memory_order_relaxed)) {
    impl_->placesUsed.store(index + 1, std::memory_order_release);
  }
  return GuestId{at.generation * Impl::kGuestsMax + index};
}

// With the gate closed and controlMutex held.
void Store::Impl::dismiss(GuestPlace& at) {
  Guest& guest = *at.guest;
  if (guest.record.guest) records.leave(guest.record);
  dropPages(guest, nullptr);
  table.reserve(guest.dataQuota, 0);
  table.reserve(guest.leafQuota, 0);
  table.reserve(guest.objectQuota, 0);
  GuestRecords::Handle record = std::move(guest.record);
  bins[guest.reserveBin.id()].store(nullptr, std::memory_order_relaxed);
  bins[guest.ephemeralBin.id()].store(nullptr, std::memory_order_relaxed);
  retiredEvictions += guest.counters().evictedTotal;
  retiredEvictionAttempts += guest.evictionAttempts.load(std::memory_order_relaxed);
  retiredCorrupt += guest.corruptFound.load(std::memory_order_relaxed);
  DedupGroup* group = &guest.group;
  at.guest.reset();
  at.unclaimed = false;
  leaveGroup(group);
  // Last: while a recovery could find a span of its bins, it must find whose it is.
  if (record.guest) records.remove(record);
}

void Store::removeGuest(GuestId guestId) {
  std::lock_guard<std::mutex> control(impl_->controlMutex);
  Impl::GuestPlace* at = impl_->place(guestId);
  GateClosure closure(at->gate);
  if (Impl::guestIn(*at, guestId)) impl_->dismiss(*at);
}

void Store::updateGuest(GuestId guestId, const GuestTuning& tuning) {
  std::lock_guard<std::mutex> control(impl_->controlMutex);
  Impl::GuestPlace* at = impl_->place(guestId);
  GateClosure closure(at->gate);
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
