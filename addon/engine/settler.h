// The background thread: makes memory denser and quicker to reach, whatever else goes on.
//
//   frames      gives freed frames back to the host and touches some ahead of need
//   huge pages  makes them of what is in use for a while: quicker to address
//   index       gives back what it does not need any more (dedup_index.h)
//   refilling   after a recovery, puts every block into the dedup index
//   draining    moves the blocks of sparse spans together, so that whole spans go back
//   settling    recompresses pages that have not been touched for a while: first LZ4
//               searched harder (same decoder, quicker gets), later zstd
//
// Time. In every tick of kTick it works on pages for at most kSlice, a fifth of a processor; or for
// kScarceSlice, a fiftieth, where guests do more than kBusyPerSecond operations (activity.h), or where others
// want the processor: in the last second the thread was kept off it for kDelay. A tick that was longer for
// that has a longer slice, up to kSlice. On frames, on huge pages and on the index it works for kTending each,
// or kScarceSlice where others want the processor. All that is processor time of its own
// (background_clock.h): what others take from it costs it time by the clock, not work. When there was nothing
// to do it sleeps kIdleTick.
//
// Progress. Refilling, draining and settling are walks over the leaves of one guest (leaf_walk.h),
// which go on at the slot where they stopped. Every slice does at least one step, whatever it costs. Guests
// take turns of kTurn, and the next slice begins with the next guest: one with many pages or dear ones delays
// no other. A guest whose gate is closed is passed over until it is open. Draining is of a dedup group, and
// done when all its guests were walked over.
//
// Nothing twice. That recompressing a block was tried is said by its codec (layout.h), in vain or
// not; so a leaf that was put into is looked through again, but only its new pages cost anything. A walk
// notes when the next of its leaves will be due, and until then, or 30 s after a put, there is none. A drain
// that could not empty its spans (damaged blocks stay where they are) doubles the pause before the next,
// unless much more has been freed meanwhile.
//
// Locks. The thread enters a gate for one step: a look at 16 slots, at some pools or spans, or one
// page. What a page costs is done with its span pinned and no lock held (resettle.cc).
#ifndef TMEMD_ENGINE_SETTLER_H_
#define TMEMD_ENGINE_SETTLER_H_

#include <array>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "engine/activity.h"
#include "engine/background_clock.h"
#include "engine/leaf_walk.h"
#include "engine/store_impl.h"

namespace tmemd {

class Settler {
 public:
  // With `refillIndex`, duplicates of the pages already there are not known yet.
  Settler(Store::Impl& store, bool refillIndex);
  ~Settler();
  Settler(const Settler&) = delete;
  Settler& operator=(const Settler&) = delete;

  bool awake() const { return clock_.now().count() >= sleepsUntil_.load(std::memory_order_relaxed); }

 private:
  using Time = BackgroundClock::Time;
  static constexpr std::chrono::milliseconds kTick{10};
  static constexpr std::chrono::milliseconds kIdleTick{100};
  // The fiftieth is about what one guest's put in fifty costs.
  static constexpr std::chrono::microseconds kSlice{2000};
  static constexpr std::chrono::microseconds kScarceSlice{200};
  static constexpr uint64_t kBusyPerSecond = 10'000;
  // More than waking up takes, and less than the kernel's least slice for another.
  static constexpr std::chrono::milliseconds kDelay{2};
  static constexpr std::chrono::seconds kWantedFor{1};
  static constexpr std::chrono::microseconds kTurn{200};
  static constexpr std::chrono::microseconds kTending{2000};
  static constexpr uint32_t kStepsPerLook = 32;  // at the time, while they do nothing to a page
  static constexpr std::chrono::seconds kRound{1};
  // In rounds.
  static constexpr uint16_t kHardAfter = 30;
  static constexpr uint16_t kColdAfter = 300;
  static constexpr uint64_t kBetweenWalks = 10;
  static constexpr uint64_t kBetweenWalksMost = 600;
  static constexpr uint32_t kDrainPauseMost = 1024;

  enum Task : uint32_t { kRefill, kDrain, kSettle, kTasks };
  struct Walk {
    bool underWay = false;
    LeafCursor at;
  };
  // By place. Touched inside the gate, but for the numbers that name the guest.
  struct GuestWork {
    uint32_t generation = 0;
    uint32_t groupBin = 0;
    bool quiet = false;  // there is nothing to do for it in this round
    std::array<Walk, kTasks> walks;
    Task inHand = kSettle;    // this turn
    uint64_t drainBegun = 0;  // the group's drain that the last walk was, or is, for
    uint64_t drainDone = 0;
    uint64_t puts = 0;       // so far
    uint64_t settleDue = 0;  // the round
    uint64_t settleEnded = 0;
  };
  enum class Step { kNothing, kCheap, kPage };
  class Refilling;
  class Draining;
  class Settling;

  void run();
  void wake();
  void tendUntil(Time then);
  bool wanted() const { return clock_.now() < wantedUntil_; }
  void noteDelay(Time delay);
  Time nextBudget();
  bool tendFrames(Time most);
  bool tendHugePages(Time most);
  bool tendIndex(Time most);
  void beginRound();
  GuestWork& workOf(uint32_t place, Store::Impl::GuestPlace& at);
  void lookAt(Guest& guest, GuestWork& work);
  bool tendDrain(DedupGroup& group);
  bool slice(Time budget);
  bool turn(uint32_t place, Time until, Time* now);
  Step step(Guest& guest, GuestWork& work, bool firstOfTurn);
  void endWalk(GuestWork& work, Task task);

  Store::Impl& store_;
  BackgroundClock& clock_;
  Activity activity_;
  WorkerContext context_;
  SettlingEncoder encoder_;
  std::vector<GuestWork> work_;  // as many as there are places
  uint64_t rounds_ = 0;
  bool trimming_ = false;  // the index; begun once a round
  uint64_t drains_ = 0;
  uint32_t nextPlace_ = 0;
  Time lastSlice_{0};    // when it began
  Time wantedUntil_{0};  // others want the processor

  const int wakeFd_;
  // Also right while the thread waits for a processor to wake up on. Relaxed: a hint.
  std::atomic<Time::rep> sleepsUntil_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace tmemd

#endif  // TMEMD_ENGINE_SETTLER_H_
