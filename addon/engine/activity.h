// How much guests do: for the background, which keeps out of their way, and recompresses what they put.
//
// Their pools count every operation. There may be a thousand guests with thousands of pools, and the
// counters lie in lines that workers write: so a look is at kPoolsPerLook of them, some in each guest's gate,
// and the next look goes on behind. With so few it is every pool every time; with more a guest's rate
// is that since it was last seen.
//
// Touched by the background thread alone.
#ifndef TMEMD_ENGINE_ACTIVITY_H_
#define TMEMD_ENGINE_ACTIVITY_H_

#include <vector>

#include "engine/background_clock.h"
#include "engine/store_impl.h"

namespace tmemd {

class Activity {
 public:
  using Time = BackgroundClock::Time;
  explicit Activity(Store::Impl& store) : store_(store), seen_(Store::Impl::kGuestsMax) {}

  // True when somebody was seen to have done something.
  bool look(Time now);
  // Of all guests, as last seen.
  uint64_t operationsPerSecond() const { return perSecond_; }
  // Into persistent pools of the guest in that place, that were good; it changes also when a pool goes.
  uint64_t persistentPuts(uint32_t place) const { return seen_[place].persistentPuts; }

 private:
  static constexpr uint32_t kPoolsPerLook = 512;  // there or not
  static constexpr uint32_t kPoolsPerGate = 128;

  struct Seen {
    uint32_t generation = 0;
    Time at{0};
    uint64_t operations = 0;
    uint64_t persistentPuts = 0;
    uint64_t perSecond = 0;
  };
  uint32_t lookInto(const Guest& guest);
  bool note(uint32_t generation, Time now);
  void nextPlace();

  Store::Impl& store_;
  std::vector<Seen> seen_;  // as many as there are places
  uint64_t perSecond_ = 0;  // the sum of theirs
  // Where the next look begins, and the sums of the pools before, of that place.
  uint32_t place_ = 0;
  size_t pool_ = 0;
  uint32_t generation_ = 0;
  uint64_t operations_ = 0;
  uint64_t persistentPuts_ = 0;
};

}  // namespace tmemd

#endif  // TMEMD_ENGINE_ACTIVITY_H_
