#include "engine/activity.h"

#include <algorithm>
#include <utility>

namespace tmemd {

// The pools of one hold of the gate; how many there were to look at, at least 1.
uint32_t Activity::lookInto(const Guest& guest) {
  size_t begin = pool_;
  size_t end = std::min(guest.pools.size(), pool_ + kPoolsPerGate);
  for (; pool_ < end; pool_++) {
    const Pool* pool = guest.pools[pool_].get();
    if (!pool) continue;
    operations_ += pool->counters.putsTotal.load(std::memory_order_relaxed) +
                   pool->counters.getsTotal.load(std::memory_order_relaxed) +
                   pool->counters.flushesTotal.load(std::memory_order_relaxed);
    if (pool->persistent) persistentPuts_ += pool->counters.putsGoodTotal.load(std::memory_order_relaxed);
  }
  return static_cast<uint32_t>(pool_ - begin) + 1;
}

// All pools of the place were seen.
bool Activity::note(uint32_t generation, Time now) {
  Seen& seen = seen_[place_];
  Seen before = std::exchange(seen, {generation, now, operations_, persistentPuts_, 0});
  perSecond_ -= before.perSecond;
  if (before.generation != generation || before.operations == operations_) return false;
  // Fewer: a pool went with its counts.
  uint64_t done = operations_ > before.operations ? operations_ - before.operations : 0;
  auto us = std::chrono::duration_cast<std::chrono::microseconds>(now - before.at).count();
  seen.perSecond = done * 1'000'000 / static_cast<uint64_t>(std::max<int64_t>(us, 1));
  perSecond_ += seen.perSecond;
  return true;
}

void Activity::nextPlace() {
  place_++;
  pool_ = 0;
  operations_ = persistentPuts_ = 0;
}

bool Activity::look(Time now) {
  uint32_t used = store_.placesUsed.load(std::memory_order_acquire);
  bool any = false;
  uint32_t places = 0;
  for (uint32_t looks = 0; looks < kPoolsPerLook && places < used;) {
    if (place_ >= used) place_ = 0;
    Store::Impl::GuestPlace& at = store_.places[place_];
    looks++;
    if (!at.gate.tryEnterInBackground()) {  // it is seen the next time round
      nextPlace();
      places++;
      continue;
    }
    const Guest* guest = at.guest.get();
    uint32_t generation = guest ? at.generation : 0;
    // Another guest than the one whose pools were begun.
    if (std::exchange(generation_, generation) != generation) pool_ = operations_ = persistentPuts_ = 0;
    if (guest) looks += lookInto(*guest);
    bool all = !guest || pool_ == guest->pools.size();
    at.gate.leaveInBackground();
    if (!all) continue;
    any |= note(generation, now);
    nextPlace();
    places++;
  }
  return any;
}

}  // namespace tmemd
