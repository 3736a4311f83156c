// One process after the other on an arena: leaving it as it is, and taking over the
// guests that a recovery found.
#include "engine/store_impl.h"

namespace tmemd {

// The arena stays for whoever recovers it: nothing is given back.
void Store::Impl::abandon() {
  forEachBin([](Bin& bin) { bin.abandon(); });
  for (GuestPlace& at : places) {
    if (!at.guest) continue;
    Guest& guest = *at.guest;
    for (CellSlab* slab :
         {&guest.persistentObjects, &guest.persistentLeaves, &guest.ephemeralObjects, &guest.ephemeralLeaves}) {
      slab->abandon();
    }
    at.guest.reset();
  }
  records.abandon();
}

// What a guest's pages were accounted by cannot be changed under them; the rest can.
std::optional<GuestId> Store::Impl::claim(const GuestOptions& given) {
  for (uint32_t i = 0; i < kGuestsMax; i++) {
    GuestPlace& at = places[i];
    if (!at.unclaimed || at.guest->name != given.name) continue;
    Guest& guest = *at.guest;
    auto same = [&](const char* what, const std::string& asked, const std::string& found) {
      if (asked == found) return;
      throw ConfigError("guest " + given.name + ": " + what + " " + asked + ": in the arena it is " + found);
    };
    auto group = [](const std::string& name) { return name.empty() ? "none" : '"' + name + '"'; };
    same("reserve in pages", std::to_string(given.persistentReservePages), std::to_string(guest.reservePages));
    same("group", group(given.dedupGroup), group(guest.group.name));
    same("most pools", std::to_string(given.maxPools), std::to_string(guest.pools.size()));
    same("NUMA node", std::to_string(given.numaNode), std::to_string(guest.numaNode));
    validateLimits(given);
    Change change(at);
    guest.weight = given.weight;
    guest.capPages = given.capPages;
    guest.limitPages = given.persistentLimitPages;
    guest.frozen = given.frozen;
    changeSettings(guest, false);
    at.unclaimed = false;
    return GuestId{at.generation * kGuestsMax + i};
  }
  return std::nullopt;
}

std::vector<UnclaimedGuest> Store::unclaimedGuests() const {
  std::lock_guard<std::mutex> control(impl_->controlMutex);
  std::vector<UnclaimedGuest> found;
  for (uint32_t i = 0; i < Impl::kGuestsMax; i++) {
    const Impl::GuestPlace& at = impl_->places[i];
    if (!at.unclaimed) continue;
    found.push_back({GuestId{at.generation * Impl::kGuestsMax + i}, at.guest->name, at.guest->pages.load()});
  }
  return found;
}

}  // namespace tmemd
