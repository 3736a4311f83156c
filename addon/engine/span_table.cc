#include "engine/span_table.h"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace tmemd {

namespace {

constexpr uint64_t roundUp(uint64_t bytes, uint64_t unit) { return (bytes + unit - 1) / unit * unit; }

// The state of a free span whose frame still holds bytes of its last owner: that
// one may have it back as it is. Cells must read as zeros, so slabs never match.
uint32_t formerly(SpanKind kind, uint32_t binId) {
  bool blocks = kind == SpanKind::kShared || kind == SpanKind::kReserve || kind == SpanKind::kEphemeral;
  return blocks ? static_cast<uint32_t>(SpanKind::kFree) | static_cast<uint32_t>(kind) << 8 | binId << 16
                : static_cast<uint32_t>(SpanKind::kFree);
}

}  // namespace

// Frames that fit beside superblock and table. Frame and span 0 are never used,
// so that 0 can mean none; their frame is not part of the file.
uint32_t SpanTable::framesFor(uint64_t capacityBytes) {
  uint64_t frames = (capacityBytes - kSuperblockBytes) / (kSpanBytes + sizeof(SpanSlot));
  while (kSuperblockBytes + roundUp((frames + 1) * sizeof(SpanSlot), kHostPageBytes) + frames * kSpanBytes >
         capacityBytes) {
    frames--;
  }
  return static_cast<uint32_t>(std::min<uint64_t>(frames, kMaxSpans - 1));
}

uint64_t SpanTable::tableBytes(uint32_t spanCount) {
  return roundUp(uint64_t{spanCount} * sizeof(SpanSlot), kHostPageBytes);
}

uint64_t SpanTable::fileBytesFor(uint64_t capacityBytes) {
  uint32_t frames = framesFor(capacityBytes);
  return kSuperblockBytes + tableBytes(frames + 1) + uint64_t{frames} * kSpanBytes;
}

SpanTable::SpanTable(uint64_t capacityBytes, uint64_t secret, int fd)
    : capacityBytes_(capacityBytes), arena_(fd, fileBytesFor(capacityBytes)), check_(secret) {
  lay();
  Superblock& block = *reinterpret_cast<Superblock*>(arena_.at(0));
  Superblock made{kArenaMagic,  kArenaVersion,  kSpanBytes, capacityBytes, arena_.sizeBytes(),
                  spanCount_, sizeof(Leaf), secret,     0};
  made.check = Check::ofSuperblock(made);
  made.magic = 0;
  block = made;
  while (spares_.size() < kSpareSpans) spares_.push_back(cleanSpan());
  // release: an arena with the magic word is ready to be recovered.
  std::atomic_ref<uint64_t>(block.magic).store(kArenaMagic, std::memory_order_release);
}

// Where things are, from the capacity.
void SpanTable::lay() {
  spanCount_ = framesFor(capacityBytes_) + 1;
  slots_ = reinterpret_cast<SpanSlot*>(arena_.at(kSuperblockBytes));
  frames_ = arena_.at(kSuperblockBytes + tableBytes(spanCount_));
  budgetFrames_ = spanCount_ - 1 - kSpareSpans;
  dirty_.reserve(kIdleFramesMax + 1);
  warm_.reserve(2 * kWarmFramesMax);
  huge_.emplace(arena_, kSuperblockBytes + tableBytes(spanCount_));
}

uint64_t SpanTable::fixedBytes() const {
  return kSuperblockBytes + roundUp((uint64_t{highestUsed_} + 1) * sizeof(SpanSlot), kHostPageBytes);
}

SpanNumber SpanTable::take(SpanKind kind, uint32_t binId, FrameQuota* quota,
                           const std::function<void(SpanNumber)>& prepare) {
  SpanNumber span;
  bool mustZero = false;
  bool wake = false;
  {
    std::unique_lock<SpinLock> guard(lock_);
    bool backed;
    for (;;) {
      backed = quota && quota->heldFrames < quota->reservedFrames;
      if (!backed && committedFrames_ + 1 > budgetFrames_) return 0;
      if (!dirty_.empty() || !warm_.empty() || framesWithMemory() < budgetFrames_) break;
      // The last of them is in tend()'s hands, for as long as a system call takes. That thread has
      // the lowest priority; while we wait it has ours.
      if (!backed) return 0;
      guard.unlock();
      { SpinGuard tended(tendingLock_); }
      guard.lock();
    }
    if (!dirty_.empty()) {
      size_t best = dirty_.size() - 1;
      for (size_t i = dirty_.size() - std::min(dirty_.size(), kIdleFramesMax); i < dirty_.size(); i++) {
        if (slots_[dirty_[i]].state.load(std::memory_order_relaxed) == formerly(kind, binId)) best = i;
      }
      span = dirty_[best];
      dirty_[best] = dirty_.back();
      dirty_.pop_back();
      dirtyLeast_ = std::min(dirtyLeast_, dirty_.size());
      mustZero = slots_[span].state.load(std::memory_order_relaxed) != formerly(kind, binId) ||
                 formerly(kind, binId) == static_cast<uint32_t>(SpanKind::kFree);
    } else if (!warm_.empty()) {
      span = warm_.back();
      warm_.pop_back();
    } else {
      span = cleanSpan();
    }
    takenThisRound_++;
    wake = wake_ && !wakeCalled_ && dirty_.size() + warm_.size() <= warmTarget() / 2;
    wakeCalled_ |= wake;
    if (!backed) committedFrames_++;
    if (quota) quota->heldFrames++;
    takenFrames_++;
  }
  if (wake) wake_();
  std::byte* base = bytes(span);
  if (mustZero) std::memset(base, 0, kSpanBytes);
  SpanHeader& head = *reinterpret_cast<SpanHeader*>(base);
  head = SpanHeader{};
  head.span = span;
  head.kind = kind;
  head.owner = binId;
  head.dataEndUnits = sizeof(SpanHeader) / 8;
  if (prepare) prepare(span);
  // release: recovery takes a frame whose header checks for the span's.
  std::atomic_ref<uint32_t>(head.check).store(check().ofSpan(span, kind, binId), std::memory_order_release);
  slots_[span].bin.store(binId, std::memory_order_relaxed);
  // release: readers of a reference published later see the header.
  slots_[span].state.store(static_cast<uint32_t>(kind), std::memory_order_release);
  return span;
}

// One that costs nothing yet, but will. A number never used before starts in the frame of
// that number.
SpanNumber SpanTable::cleanSpan() {
  SpanNumber span;
  if (!clean_.empty()) {
    span = clean_.back();
    clean_.pop_back();
  } else {
    span = ++highestUsed_;
    assert(span < spanCount_);
    slots_[span].frame.store(span - 1, std::memory_order_relaxed);
    huge_->filledUpTo(fixedBytes());
  }
  huge_->filled(frameOf(span));
  return span;
}

void SpanTable::release(SpanNumber span, FrameQuota* quota) {
  SpanKind kind = kindOf(span);
  uint32_t binId = slots_[span].bin.load(std::memory_order_relaxed);
  slots_[span].bin.store(0, std::memory_order_relaxed);
  slots_[span].state.store(formerly(kind, binId), std::memory_order_release);
  invalidate(bytes(span));
  endExclusive(span);
  SpinGuard guard(lock_);
  if (quota) quota->heldFrames--;
  bool backed = quota && quota->heldFrames < quota->reservedFrames;
  if (!backed) committedFrames_--;
  takenFrames_--;
  dirty_.push_back(span);
  if (!wake_) trimIdle(kIdleFramesMax);
}

// Frames come and go between two slices, but none that others put there is of the bin, and those that
// were there only ever move forward in `dirty_`, which is walked from its end.
void SpanTable::forgetBin(uint32_t binId) {
  for (size_t end = SIZE_MAX; end > 0;) {
    SpinGuard guard(lock_);
    end = std::min(end, dirty_.size());
    for (size_t slice = std::min(end, kFramesAHold); slice > 0; slice--) {
      std::atomic<uint32_t>& state = slots_[dirty_[--end]].state;
      if (state.load(std::memory_order_relaxed) >> 16 != binId) continue;
      state.store(static_cast<uint32_t>(SpanKind::kFree), std::memory_order_relaxed);
    }
  }
}

void SpanTable::setTended(std::function<void()> wake) {
  SpinGuard guard(lock_);
  wake_ = std::move(wake);
}

void SpanTable::beginTendingRound() {
  SpinGuard guard(lock_);
  toGiveBack_ = dirtyLeast_;
  dirtyLeast_ = dirty_.size();
  takenLastRound_ = std::exchange(takenThisRound_, 0);
  huge_->beginRound();
}

void SpanTable::punch(SpanNumber span) {
  arena_.punch(static_cast<uint64_t>(bytes(span) - arena_.at(0)), kSpanBytes);
}

void SpanTable::trimIdle(size_t most) {
  while (dirty_.size() + warm_.size() + tending_ > most && !(dirty_.empty() && warm_.empty())) {
    std::vector<SpanNumber>& from = dirty_.empty() ? warm_ : dirty_;
    huge_->emptied(frameOf(from.back()));
    punch(from.back());
    clean_.push_back(from.back());
    from.pop_back();
  }
}

size_t SpanTable::warmTarget() const {
  if (takenLately() == 0) return kWarmFramesMin;
  return std::clamp<size_t>(takenFrames_ / kWarmShare, kWarmFramesMin, kWarmFramesMax);
}

// System calls are made with the lock let go and the frames on no list.
bool SpanTable::tend() { return giveFrameBack() || warmFrames(); }

bool SpanTable::giveFrameBack() {
  SpinGuard tending(tendingLock_);
  SpanNumber span;
  {
    SpinGuard guard(lock_);
    size_t target = warmTarget();
    wakeCalled_ = false;
    if (toGiveBack_ > 0 && dirty_.size() > std::min(target, kIdleFramesMax)) {
      toGiveBack_--;
      span = dirty_.front();
      dirty_.front() = dirty_.back();
      dirty_.pop_back();
      dirtyLeast_ = std::min(dirtyLeast_, dirty_.size());
    } else if (warm_.size() > target) {
      span = warm_.back();
      warm_.pop_back();
    } else {
      return false;
    }
    tending_++;
    punching_++;
    huge_->emptied(frameOf(span));
  }
  punch(span);
  SpinGuard guard(lock_);
  tending_--;
  punching_--;
  clean_.push_back(span);
  return true;
}

bool SpanTable::warmFrames() {
  SpinGuard tending(tendingLock_);
  SpanNumber first;
  uint32_t count;
  uint32_t region = 0;
  {
    SpinGuard guard(lock_);
    count = framesToWarm(&region);
    if (count == 0) {
      toGiveBack_ = 0;
      return false;
    }
    if (count > 1) huge_->beginEmpty(region);
    first = cleanSpan();
    for (uint32_t i = 1; i < count; i++) cleanSpan();
    tending_ += count;
  }
  uint64_t at = static_cast<uint64_t>(bytes(first) - arena_.at(0));
  arena_.populate(at, kSpanBytes);
  Arena::HugeResult result = Arena::HugeResult::kCannot;
  if (count > 1) {
    // The first frame reaches into the region: the kernel makes no huge page of nothing.
    result = huge_->make(region);
    arena_.populate(at + kSpanBytes, uint64_t{count - 1} * kSpanBytes);
  }
  SpinGuard guard(lock_);
  if (count > 1) huge_->finish(region, result);
  tending_ -= count;
  for (uint32_t i = count; i-- > 0;) warm_.push_back(first + i);  // the first is taken first
  return true;
}

// One; while a large store grows fast all that reach into the next region, which nobody has
// used yet: their numbers follow each other, as their frames do. 0: none, or not just now.
uint32_t SpanTable::framesToWarm(uint32_t* region) const {
  size_t idle = warm_.size() + dirty_.size();
  if (idle >= warmTarget() || framesWithMemory() + 1 >= budgetFrames_) return 0;
  if (!clean_.empty() || warmTarget() < kWarmFramesMax || takenLately() < kTakenFast) return 1;
  uint32_t count = huge_->framesOfRegionFrom(highestUsed_, region);
  // Not the last ones: while they are in hand a put would find none.
  if (count == 0 || framesWithMemory() + count + kWarmFramesMax >= budgetFrames_) return 1;
  if (highestUsed_ + count >= spanCount_) return 1;
  return idle > kWarmFramesMax / 2 ? 0 : count;
}

bool SpanTable::tendHugePages() {
  uint32_t region;
  {
    SpinGuard guard(lock_);
    if (!huge_->begin(&region)) return false;
  }
  Arena::HugeResult result = huge_->make(region);
  bool refilled;
  {
    SpinGuard guard(lock_);
    refilled = huge_->finish(region, result);
  }
  if (refilled) giveBackAgain(region);
  return true;
}

// The frames of a region that are free though the kernel filled them: there are a few among the
// clean ones, which may be many and are looked through some at a time. Those that are taken meanwhile
// are no longer free, and those that become clean meanwhile were given back after it.
void SpanTable::giveBackAgain(uint32_t region) {
  constexpr size_t kLooksPerHold = 4096;
  for (size_t next = 0;;) {
    SpinGuard tending(tendingLock_);
    SpanNumber span = 0;
    {
      SpinGuard guard(lock_);
      size_t end = std::min(clean_.size(), next + kLooksPerHold);
      for (; next < end && !span; next++) {
        if (huge_->reaches(frameOf(clean_[next]), region)) span = clean_[next];
      }
      if (!span && next >= clean_.size()) return;
      if (!span) continue;
      if (framesWithMemory() >= budgetFrames_) {  // it cannot even be in hand for a moment
        punch(span);
        continue;
      }
      clean_[--next] = clean_.back();
      clean_.pop_back();
      tending_++;
      punching_++;
    }
    punch(span);
    SpinGuard guard(lock_);
    tending_--;
    punching_--;
    clean_.push_back(span);
  }
}

bool SpanTable::reserve(FrameQuota& quota, uint64_t frames) {
  SpinGuard guard(lock_);
  uint64_t before = std::max(quota.reservedFrames, quota.heldFrames);
  uint64_t after = std::max(frames, quota.heldFrames);
  if (after > before && committedFrames_ + (after - before) > budgetFrames_) return false;
  committedFrames_ = committedFrames_ - before + after;
  reservedFrames_ = reservedFrames_ - quota.reservedFrames + frames;
  quota.reservedFrames = frames;
  return true;
}

bool SpanTable::fits(uint64_t frames) const {
  SpinGuard guard(lock_);
  return reservedFrames_ + frames <= budgetFrames_;
}

bool SpanTable::borrow(uint64_t bytesWanted) {
  SpinGuard guard(lock_);
  if (borrowedBytes_ + bytesWanted > borrowLimitBytes_) return false;
  uint64_t before = borrowedFrames();
  uint64_t after = (borrowedBytes_ + bytesWanted + kSpanBytes - 1) / kSpanBytes;
  if (committedFrames_ + (after - before) > budgetFrames_) return false;
  if (takenFrames_ + after + tending_ > budgetFrames_) return false;
  committedFrames_ += after - before;
  borrowedBytes_ += bytesWanted;
  // A borrowed frame must not cost memory of its own. No more than that is done here:
  // what was freed a moment ago may be many frames.
  trimIdle(budgetFrames_ - takenFrames_ - after);
  return true;
}

void SpanTable::giveBack(uint64_t bytesReturned) {
  SpinGuard guard(lock_);
  uint64_t before = borrowedFrames();
  borrowedBytes_ -= bytesReturned;
  committedFrames_ -= before - borrowedFrames();
}

void SpanTable::limitBorrowing(uint64_t bytes) {
  SpinGuard guard(lock_);
  borrowLimitBytes_ = bytes;
}

void SpanTable::pinAfterHolder(SpanNumber span) {
  unpin(span);
  SpinGuard guard(holderOf(span));
  // Nobody has it exclusively while we hold this.
  slots_[span].pins.fetch_add(1, std::memory_order_acquire);
}

bool SpanTable::tryExclusive(SpanNumber span) {
  holderOf(span).lock();
  schedulingPoint();
  uint32_t unpinned = 0;
  // acquire pairs with the release in unpin().
  if (slots_[span].pins.compare_exchange_strong(unpinned, kExclusive, std::memory_order_acquire,
                                                std::memory_order_relaxed)) {
    return true;  // holderOf(span) is held until endExclusive()
  }
  holderOf(span).unlock();
  return false;
}

SpanNumber SpanTable::takeSpare() {
  SpinGuard guard(lock_);
  if (spares_.empty()) return 0;
  SpanNumber spare = spares_.back();
  spares_.pop_back();
  return spare;
}

void SpanTable::swapFrames(SpanNumber span, SpanNumber spare) {
  uint32_t old = slots_[span].frame.load(std::memory_order_relaxed);
  uint32_t packed = slots_[spare].frame.load(std::memory_order_relaxed);
  // release: the packed image is complete before it is the span. Between the two
  // stores no span has the frame `old`; recovery gives it out again.
  slots_[span].frame.store(packed, std::memory_order_release);
  slots_[spare].frame.store(old, std::memory_order_release);
  invalidate(bytes(spare));
}

void SpanTable::returnSpare(SpanNumber spare) {
  SpinGuard guard(lock_);
  spares_.push_back(spare);
}

SpanTable::Usage SpanTable::usage() const {
  SpinGuard guard(lock_);
  Usage u;
  u.capacityBytes = capacityBytes_;
  u.fixedBytes = fixedBytes();
  u.borrowedBytes = borrowedBytes_;
  u.idleBytes = (kSpareSpans + dirty_.size() + warm_.size() + tending_) * uint64_t{kSpanBytes};
  u.takenFrames = takenFrames_;
  u.usedBytes = u.fixedBytes + u.borrowedBytes + u.idleBytes + takenFrames_ * kSpanBytes;
  u.reservedBytes = reservedFrames_ * kSpanBytes;
  u.hugeBytes = huge_->hugeBytes();
  u.freeFrames = budgetFrames_ - committedFrames_;
  u.committedFrames = committedFrames_;
  return u;
}

const char* SpanTable::checkInvariants() const {
  SpinGuard guard(lock_);
  if (committedFrames_ > budgetFrames_) return "frames committed exceed the budget";
  if (takenFrames_ + borrowedFrames() > committedFrames_) return "frames taken exceed those committed";
  if (framesWithMemory() > budgetFrames_) return "frames that hold memory exceed the budget";
  uint64_t neverUsed = spanCount_ - 1 - highestUsed_;
  if (takenFrames_ + clean_.size() + warm_.size() + dirty_.size() + tending_ + neverUsed != budgetFrames_) return "frames are lost";
  if (huge_->filledFrames() + clean_.size() + punching_ != highestUsed_) return "frames that hold memory are miscounted";
  if (spares_.size() != kSpareSpans) return "spare spans are lost";
  if (dirtyLeast_ > dirty_.size()) return "more frames lay idle than there are";
  if (!huge_->addsUp()) return "huge pages are miscounted";
  return "";
}

}  // namespace tmemd
