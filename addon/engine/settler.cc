#include "engine/settler.h"

#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

namespace tmemd {

namespace {

BackgroundClock& clockOf(const StoreOptions& options) {
  return options.backgroundClock ? *options.backgroundClock : BackgroundClock::ofMachine();
}

}  // namespace

Settler::Settler(Store::Impl& store, bool refillIndex)
    : store_(store),
      clock_(clockOf(store.options)),
      activity_(store),
      work_(Store::Impl::kGuestsMax),
      wakeFd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (wakeFd_ < 0)
    throw std::system_error(errno, std::generic_category(), "eventfd of the background thread");
  for (uint32_t place = 0; refillIndex && place < store_.placesUsed.load(std::memory_order_relaxed);
       place++) {
    if (store_.places[place].guest) workOf(place, store_.places[place]).walks[kRefill].underWay = true;
  }
  thread_ = std::thread([this] { run(); });
  store_.table.setTended([this] { wake(); });
}

Settler::~Settler() {
  stop_.store(true, std::memory_order_relaxed);
  wake();
  thread_.join();
  store_.table.setTended(nullptr);
  close(wakeFd_);
}

// Called by puts, so it must not wait for a thread of the lowest priority: no mutex.
void Settler::wake() { eventfd_write(wakeFd_, 1); }

// Sleeps until `then`, but for frames that puts ask for.
void Settler::tendUntil(Time then) {
  sleepsUntil_.store(then.count(), std::memory_order_relaxed);
  while (!stop_.load(std::memory_order_relaxed)) {
    if (!clock_.waitUntil(then, wakeFd_)) {
      noteDelay(clock_.now() - then);
      return;
    }
    eventfd_t ignored;
    eventfd_read(wakeFd_, &ignored);
    tendFrames(kTending);
    if (clock_.now() >= then) return;
  }
}

// It was kept off the processor for so long.
void Settler::noteDelay(Time delay) {
  if (delay > kDelay) wantedUntil_ = clock_.now() + kWantedFor;
}

// True when there was something to do.
bool Settler::tendFrames(Time most) {
  if (!store_.table.tend()) return false;
  Time until = clock_.threadTime() + most;
  while (clock_.threadTime() < until && store_.table.tend()) {
  }
  return true;
}

bool Settler::tendHugePages(Time most) {
  if (!store_.table.tendHugePages()) return false;
  Time until = clock_.threadTime() + most;
  while (clock_.threadTime() < until && store_.table.tendHugePages()) {
  }
  return true;
}

// controlMutex is held for one piece at a time, and counters wait for it no longer than that.
bool Settler::tendIndex(Time most) {
  if (!trimming_) return false;
  Time until = clock_.threadTime() + most;
  uint64_t blocks = UINT64_MAX;
  do {
    std::unique_lock<std::mutex> control(store_.controlMutex, std::try_to_lock);
    if (!control) break;
    if (blocks == UINT64_MAX) blocks = store_.countIndexedBlocks();
    trimming_ = store_.index.trim(blocks, [this](Loc loc) { return store_.isIndexable(loc); });
  } while (trimming_ && clock_.threadTime() < until);
  return true;
}

bool Store::backgroundAwake() const { return impl_->settler && impl_->settler->awake(); }

void Settler::run() {
  // Not 19, where "whoever else wants the core has it" comes too true: beside threads that never sleep a
  // fiftieth of a processor is not to be had there (a stand-in thread got a fifth of what it got at 10). The
  // budget bounds what is taken, and sees when others want the processor: so it does also where priorities do not
  // count, because the guests' threads are in another control group. A worker comes first either way: it is
  // real-time, or else has nine times this weight.
  setpriority(PRIO_PROCESS, 0, 10);
  Time nextRound = clock_.now() + kRound;
  lastSlice_ = clock_.now();
  while (!stop_.load(std::memory_order_relaxed)) {
    Time tending = wanted() ? Time(kScarceSlice) : Time(kTending);
    bool idle = !tendFrames(tending);
    if (tendHugePages(tending)) idle = false;
    if (tendIndex(tending)) idle = false;
    if (activity_.look(clock_.now())) idle = false;
    if (clock_.now() >= nextRound) {
      nextRound = clock_.now() + kRound;
      beginRound();
    }
    if (slice(nextBudget())) idle = false;
    tendUntil(clock_.now() + (idle ? kIdleTick : kTick));
  }
}

// A fifth of the time, or a fiftieth: then also of what it had to wait for the processor.
Settler::Time Settler::nextBudget() {
  Time now = clock_.now();
  Time since = now - std::exchange(lastSlice_, now);
  if (activity_.operationsPerSecond() <= kBusyPerSecond && !wanted()) return kSlice;
  return std::clamp<Time>(since / (kTick / kScarceSlice), kScarceSlice, kSlice);
}

// --- what there is to do ----------------------------------------------------------------

// With the gate entered and a guest in the place.
Settler::GuestWork& Settler::workOf(uint32_t place, Store::Impl::GuestPlace& at) {
  GuestWork& work = work_[place];
  if (work.generation != at.generation) {
    work = GuestWork();
    work.generation = at.generation;
    work.groupBin = at.guest->group.bin.id();
    work.settleDue = rounds_ + kHardAfter;
  }
  return work;
}

void Settler::beginRound() {
  rounds_++;
  store_.round.fetch_add(1, std::memory_order_relaxed);
  store_.table.beginTendingRound();
  trimming_ = true;
  uint32_t used = store_.placesUsed.load(std::memory_order_acquire);
  std::vector<uint32_t> unseen;  // bins of groups with a member whose gate is closed
  for (uint32_t i = 0; i < used; i++) {
    Store::Impl::GuestPlace& at = store_.places[i];
    work_[i].quiet = false;
    if (!at.gate.tryEnterInBackground()) {
      unseen.push_back(work_[i].groupBin);
      continue;
    }
    if (at.guest) lookAt(*at.guest, workOf(i, at));
    at.gate.leaveInBackground();
  }
  for (uint32_t i = 0; i < used; i++) {
    Store::Impl::GuestPlace& at = store_.places[i];
    for (bool more = true; more && at.gate.tryEnterInBackground();) {
      more = at.guest && std::find(unseen.begin(), unseen.end(), at.guest->group.bin.id()) == unseen.end() &&
             tendDrain(at.guest->group);
      at.gate.leaveInBackground();
    }
  }
}

void Settler::lookAt(Guest& guest, GuestWork& work) {
  uint64_t puts = activity_.persistentPuts(guest.place);
  if (std::exchange(work.puts, puts) != puts) work.settleDue = std::min(work.settleDue, rounds_ + kHardAfter);
  Walk& settle = work.walks[kSettle];
  bool refilling = work.walks[kRefill].underWay;
  if (!settle.underWay && !refilling && rounds_ >= work.settleDue &&
      rounds_ >= work.settleEnded + kBetweenWalks) {
    settle = {true, {}};
    work.settleDue = rounds_ + kBetweenWalksMost;  // sooner, if the walk or a put says so
  }
  GroupDrain& drain = guest.group.drain;
  if (std::exchange(drain.countedIn, rounds_) != rounds_) drain.refilling = drain.walking = false;
  drain.refilling |= refilling;
  drain.walking |= drain.cycle != work.drainDone;
}

// All its members were looked at in this round. A step of what may take many: true when there are more.
bool Settler::tendDrain(DedupGroup& group) {
  GroupDrain& drain = group.drain;
  if (drain.countedIn != rounds_) return false;
  if (drain.cycle != 0) {
    if (drain.walking) return false;
    if (uint32_t returned = group.bin.endDraining()) {
      drain.spansLeft += returned;
      return true;
    }
    bool inVain = drain.spansLeft * 4 > drain.apart.spans * 3;
    drain.cycle = 0;
    drain.apart = {};
    drain.spansLeft = 0;
    drain.pauseRounds = inVain ? std::min(drain.pauseRounds * 2, kDrainPauseMost) : 1;
    drain.notBefore = rounds_ + drain.pauseRounds;
    drain.deadBytesLeft = group.bin.deadBytes();
    return false;
  }
  // Duplicates stay together only if the index knows the copy that was moved first.
  if (drain.refilling) return false;
  uint64_t muchMore = group.bin.spanCount() * kSpanBytes / 32;
  bool begun = drain.apart.spans != 0;  // and a gate closed before all were set apart
  bool early = rounds_ < drain.notBefore && group.bin.deadBytes() < drain.deadBytesLeft + muchMore;
  if (early && !begun) return false;
  if (group.bin.beginDraining(drain.apart)) return true;
  if (drain.apart.spans != 0) drain.cycle = ++drains_;
  return false;
}

// --- doing it ----------------------------------------------------------------------------

class Settler::Refilling final : public LeafVisitor {
 public:
  Refilling(const SpanTable& table, const Guest& guest) : table_(table), guest_(guest) {}
  bool enters(Leaf&, bool) override { return true; }
  bool admits(Loc loc) override {
    uint32_t bin = table_.binOf(spanOf(loc));
    return bin == guest_.group.bin.id() || bin == guest_.reserveBin.id();
  }
  // Blocks of one repeated word are never looked up.
  bool wants(Entry entry) override { return entryLength(entry) != sizeof(uint64_t); }
  void leaves(Leaf&) override {}

 private:
  const SpanTable& table_;
  const Guest& guest_;
};

// Pages in the reserve are left by the two that follow: that memory is set aside.
class Settler::Draining final : public LeafVisitor {
 public:
  Draining(const SpanTable& table, const Bin& bin) : table_(table), bin_(bin) {}
  bool enters(Leaf&, bool) override { return true; }
  bool admits(Loc loc) override {
    if (table_.binOf(spanOf(loc)) != bin_.id()) return false;
    // Neighbours mostly lie in one span.
    if (std::exchange(span_, spanOf(loc)) != spanOf(loc)) draining_ = bin_.isDraining(loc);
    return draining_;
  }
  bool wants(Entry) override { return true; }
  void leaves(Leaf&) override {}

 private:
  const SpanTable& table_;
  const Bin& bin_;
  SpanNumber span_ = 0;
  bool draining_ = false;
};

// A leaf says itself how hard it is being recompressed, so that a put into it ends that: it is young again.
class Settler::Settling final : public LeafVisitor {
 public:
  Settling(const SpanTable& table, uint32_t bin, uint16_t round) : table_(table), bin_(bin), round_(round) {}

  bool enters(Leaf& leaf, bool again) override {
    uint16_t age = static_cast<uint16_t>(round_ - leaf.touched);
    int reached = leaf.settled & kReached;
    level = age >= kColdAfter ? 2 : age >= kHardAfter ? 1 : 0;
    if (again) level = std::min(level, leaf.settled >> kInHandShift);
    if (level <= reached) {
      leaf.settled = static_cast<uint8_t>(reached);
      noteDue(leaf, age);
      return false;
    }
    leaf.settled = static_cast<uint8_t>(reached | level << kInHandShift);
    return true;
  }
  bool admits(Loc loc) override { return table_.binOf(spanOf(loc)) == bin_; }
  bool wants(Entry entry) override {
    return entryCodec(entry) == Codec::kLz4 || (level == 2 && entryCodec(entry) == Codec::kLz4Settled);
  }
  void leaves(Leaf& leaf) override {
    leaf.settled = static_cast<uint8_t>(level);
    noteDue(leaf, static_cast<uint16_t>(round_ - leaf.touched));
  }

  int level = 0;                       // of the leaf entered last
  uint64_t dueIn = kBetweenWalksMost;  // rounds until the next leaf looked at is due

 private:
  static constexpr uint8_t kReached = 3;
  static constexpr int kInHandShift = 4;

  void noteDue(const Leaf& leaf, uint16_t age) {
    if (leaf.settled == 2) return;
    uint16_t dueAt = leaf.settled == 0 ? kHardAfter : kColdAfter;
    dueIn = std::min<uint64_t>(dueIn, dueAt > age ? dueAt - age : 1);
  }

  const SpanTable& table_;
  const uint32_t bin_;
  const uint16_t round_;
};

Settler::Step Settler::step(Guest& guest, GuestWork& work, bool firstOfTurn) {
  GroupDrain& drain = guest.group.drain;
  Walk& draining = work.walks[kDrain];
  if (drain.cycle != 0 && work.drainBegun != drain.cycle) {
    work.drainBegun = drain.cycle;
    draining = {true, {}};
  }
  // Refilling alone; the others a turn each.
  if (work.walks[kRefill].underWay) {
    work.inHand = kRefill;
  } else if (firstOfTurn || !work.walks[work.inHand].underWay) {
    work.inHand = work.inHand == kDrain ? kSettle : kDrain;
    if (!work.walks[work.inHand].underWay) work.inHand = work.inHand == kDrain ? kSettle : kDrain;
  }
  Task task = work.inHand;
  if (!work.walks[task].underWay) return Step::kNothing;
  LeafWalk walk(store_.table, guest, work.walks[task].at);
  PageInHand page;
  LeafWalk::Step walked;
  if (task == kRefill) {
    Refilling visitor(store_.table, guest);
    walked = walk.step(visitor, &page);
    if (walked == LeafWalk::Step::kPage) store_.reindex(context_, guest, page);
  } else if (task == kDrain) {
    Draining visitor(store_.table, guest.group.bin);
    walked = walk.step(visitor, &page);
    if (walked == LeafWalk::Step::kPage) store_.moveOut(context_, guest, page);
  } else {
    Settling visitor(store_.table, guest.group.bin.id(), store_.round.load(std::memory_order_relaxed));
    walked = walk.step(visitor, &page);
    work.settleDue = std::min(work.settleDue, rounds_ + visitor.dueIn);
    if (walked == LeafWalk::Step::kPage) store_.resettle(context_, encoder_, guest, page, visitor.level);
  }
  if (walked == LeafWalk::Step::kEnd) endWalk(work, task);
  return walked == LeafWalk::Step::kPage ? Step::kPage : Step::kCheap;
}

void Settler::endWalk(GuestWork& work, Task task) {
  work.walks[task].underWay = false;
  if (task == kDrain) work.drainDone = work.drainBegun;
  if (task == kSettle) work.settleEnded = rounds_;
}

// Works for `budget`, or until nothing is left; false when there was nothing from the first.
bool Settler::slice(Time budget) {
  uint32_t used = store_.placesUsed.load(std::memory_order_acquire);
  Time begin = clock_.now();
  Time had = clock_.threadTime();
  Time now = had;
  bool worked = false;
  for (uint32_t passed = 0; passed < used;) {
    if (nextPlace_ >= used) nextPlace_ = 0;
    bool did = turn(nextPlace_++, had + budget, &now);
    worked |= did;
    passed = did ? 0 : passed + 1;
    if (did && now >= had + budget) break;
  }
  if (worked) noteDelay(clock_.now() - begin - (now - had));
  return worked;
}

// The processor time was looked at last at *now.
bool Settler::turn(uint32_t place, Time until, Time* now) {
  Store::Impl::GuestPlace& at = store_.places[place];
  until = std::min<Time>(until, *now + kTurn);
  bool worked = false;
  if (work_[place].quiet) return false;
  for (uint32_t steps = 1;; steps++) {
    if (!at.gate.tryEnterInBackground()) return worked;
    Step done = at.guest ? step(*at.guest, workOf(place, at), steps == 1) : Step::kNothing;
    at.gate.leaveInBackground();
    work_[place].quiet = done == Step::kNothing;
    if (done == Step::kNothing) return worked;
    worked = true;
    if (done == Step::kCheap && steps % kStepsPerLook != 0) continue;
    *now = clock_.threadTime();
    if (*now >= until) return true;
  }
}

}  // namespace tmemd
