// The background thread: makes memory denser when nothing more urgent is going on.
//
//   frames      gives freed frames back to the host and touches some ahead of need
//   huge pages  makes them of what is in use for a while: quicker to address
//   draining    moves the blocks of sparse spans together, so that whole spans go back
//   settling    recompresses pages that have not been touched for a while: first LZ4
//               searched harder (same decoder, quicker gets), later zstd
//
// After a recovery its first walk puts every block into the dedup index.
//
// It walks the slots of all guests, inside the gate of the guest it is at, so whatever
// stops page operations stops it too. A page is verified, decoded and stored anew with
// its span pinned and no lock held; then, if its slot still holds what it held, one
// store to the slot publishes the new block, as a put's would.
//
// It works at most kSliceMs in every kTickMs, and not at all in a tick after one
// that saw more than kBusyOperations; frames and huge pages are always looked after. When there was
// nothing to do at all it sleeps kIdleTickMs.
#ifndef TMEMD_ENGINE_SETTLER_H_
#define TMEMD_ENGINE_SETTLER_H_

#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>

#include "engine/store_impl.h"

namespace tmemd {

class Settler {
 public:
  // With `refillIndex`, duplicates of the pages already there are not known yet.
  Settler(Store::Impl& store, bool refillIndex);
  ~Settler();
  Settler(const Settler&) = delete;
  Settler& operator=(const Settler&) = delete;

  bool awake() const { return Clock::now().time_since_epoch().count() >= sleepsUntil_.load(std::memory_order_relaxed); }

  // A walk over everything, now and to the end, whatever the load. For tests and bench.
  void settleNow(const Store::Impl::SettlePolicy* policy);

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kTickMs{10};
  static constexpr std::chrono::milliseconds kIdleTickMs{100};
  static constexpr std::chrono::milliseconds kSliceMs{2};
  static constexpr uint64_t kBusyOperations = 100;  // in a tick
  static constexpr std::chrono::seconds kRound{1};
  static constexpr Store::Impl::SettlePolicy kPolicy{30, 300};  // rounds: half a minute, five
  static constexpr uint16_t kRoundsBetweenColdWalks = 10;

  // Where the walk is. Buckets may be regrouped meanwhile: a leaf missed is for next time.
  struct Cursor {
    uint32_t place = 0;
    uint32_t shard = 0;
    size_t bucket = 0;
  };

  void run();
  void wake();
  void tendUntil(Clock::time_point then);
  bool beginWalk(bool forced);
  // Goes on until `until`; true when the walk is complete.
  bool walk(const Store::Impl::SettlePolicy* policy, Clock::time_point until);
  bool walkBucket(Guest& guest, const Store::Impl::SettlePolicy* policy, Clock::time_point until, bool* more);
  void endWalk();
  template <typename Visit>
  void forEachGuest(Visit visit);

  Store::Impl& store_;
  WorkerContext context_;
  SettlingEncoder encoder_;
  std::mutex walking_;  // the thread's walk or settleNow's; guards cursor_ and the above
  Cursor cursor_;
  std::vector<Store::Impl::LeafName> leaves_;  // of the bucket in hand
  bool refilling_;  // the first walk after a recovery is not done

  const int wakeFd_;
  // Also right while the thread waits for a processor to wake up on. Relaxed: a hint.
  std::atomic<Clock::rep> sleepsUntil_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace tmemd

#endif  // TMEMD_ENGINE_SETTLER_H_
