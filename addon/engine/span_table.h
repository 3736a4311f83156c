// Which frame each span lives in, who may look at it, and how many frames are
// left to whom.
//
// Frames. Each span number owns one frame all its life; packing a span swaps its
// frame with that of a *spare* span. A free span is *clean* (punched or never
// touched: costs nothing), *warm* (zero and touched ahead of need, so that a put
// takes no page faults) or *dirty* (holds old bytes). take() hands out frames
// that read as zeros, or hold nothing but bytes of the bin that takes them.
//
// Budget. With `frames` usable frames:
//   committed = sum over quotas of max(reserved, held) + plain + borrowed <= frames
// A quota's frames up to `reserved` are set aside for it, used or not, so taking
// one of those cannot fail. `borrowed` pays for tables outside the arena.
//
// Recovery. A span a killed process left is the frame whose header names it and
// checks, if the table names that frame for it. Of two frames whose headers name one
// span, as packing leaves them, the table says which; a span whose frame the table
// names for another was damaged. All other frames are given back.
//
// Pins. Whoever reads a block pins its span; whoever packs or frees a span takes
// it exclusively, which is only ever tried, never waited for. Who frees a block of a pinned
// span leaves its entry as it is (bin.h). Who has a span exclusively also holds one of a few
// locks, by the span's number, until it is done: a reader that comes meanwhile waits for
// that, and so lends it its priority.
#ifndef TMEMD_ENGINE_SPAN_TABLE_H_
#define TMEMD_ENGINE_SPAN_TABLE_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "engine/arena.h"
#include "engine/check.h"
#include "engine/huge_pages.h"
#include "engine/layout.h"
#include "engine/sync.h"

namespace tmemd {

// Frames set aside for one use of one guest. Guarded by the span table's lock.
struct FrameQuota {
  uint64_t reservedFrames = 0;
  uint64_t heldFrames = 0;
};

class SpanTable {
 public:
  // A new arena, in the empty file `fd` or, with -1, in memory of its own.
  SpanTable(uint64_t capacityBytes, uint64_t secret, int fd);
  // The arena in the file `fd`. Throws AttachError.
  explicit SpanTable(int fd);
  SpanTable(const SpanTable&) = delete;
  SpanTable& operator=(const SpanTable&) = delete;

  static constexpr uint64_t kMinimumCapacityBytes = 1 << 20;
  static constexpr uint32_t kSpareSpans = 2;

  // 0 when the budget does not allow one more. `quota` may be null. What `prepare` writes
  // is there before a recovery takes the span for one.
  SpanNumber take(SpanKind kind, uint32_t binId, FrameQuota* quota,
                  const std::function<void(SpanNumber)>& prepare = nullptr);
  // The span must be exclusively held or never shared; ends the hold.
  void release(SpanNumber span, FrameQuota* quota);
  // The bin is gone, all its spans released: the next of its number is not to have the frames as
  // they are. To be called before there is one.
  void forgetBin(uint32_t binId);

  // The spans that were found, after recovery; each is then released, or adopted by the
  // bin or slab that owns it; before that adopt() accounts it to its quota, if it has one.
  std::vector<SpanNumber> takeFound() { return std::exchange(found_, {}); }
  void adopt(FrameQuota& quota);

  // Sets aside `frames` for a quota; false and unchanged when they do not fit now.
  bool reserve(FrameQuota& quota, uint64_t frames);
  // Would `frames` fit beside what other quotas reserve, in an otherwise empty store?
  bool fits(uint64_t frames) const;
  // What all spans together may take of the capacity.
  uint64_t budgetBytes() const { return budgetFrames_ * kSpanBytes; }

  // Charges memory outside the arena (hash tables) to the capacity.
  bool borrow(uint64_t bytes);
  void giveBack(uint64_t bytes);
  // Until all that is borrowed comes to so many bytes, whatever room there is.
  void limitBorrowing(uint64_t bytes);

  std::byte* bytes(SpanNumber span) const {
    return frames_ + uint64_t{slots_[span].frame.load(std::memory_order_relaxed)} * kSpanBytes;
  }
  uint64_t capacityBytes() const { return capacityBytes_; }
  uint64_t secret() const { return superblock().secret; }
  const Check& check() const { return *check_; }
  SpanHeader& header(SpanNumber span) const { return *reinterpret_cast<SpanHeader*>(bytes(span)); }
  std::atomic_ref<Entry> entry(SpanNumber span, uint32_t index) const { return entryAt(bytes(span), index); }
  static std::atomic_ref<Entry> entryAt(std::byte* spanBytes, uint32_t index) {
    schedulingPoint();
    return std::atomic_ref<Entry>(
        *reinterpret_cast<Entry*>(spanBytes + kSpanBytes - sizeof(Entry) * (index + 1)));
  }
  template <typename Cell>
  Cell& cell(CellRef ref) const {
    return *reinterpret_cast<Cell*>(bytes(cellSpan(ref)) + sizeof(SpanHeader) + sizeof(Cell) * cellIndex(ref));
  }
  uint32_t binOf(SpanNumber span) const { return slots_[span].bin.load(std::memory_order_relaxed); }
  uint32_t spanCount() const { return spanCount_; }
  // Above the highest span number that was ever taken: to look at the places from here on would cost memory.
  SpanNumber usedNumbersEnd() const {
    SpinGuard guard(lock_);
    return highestUsed_ + 1;
  }
  SpanKind kindOf(SpanNumber span) const {
    return static_cast<SpanKind>(slots_[span].state.load(std::memory_order_relaxed) & 0xff);
  }

  void pin(SpanNumber span) {
    schedulingPoint();
    // acquire pairs with the release in endExclusive(): the frame swap is seen.
    if (slots_[span].pins.fetch_add(1, std::memory_order_acquire) & kExclusive) pinAfterHolder(span);
  }
  void unpin(SpanNumber span) {
    schedulingPoint();
    // release pairs with the acquire in tryExclusive(): our reads came first.
    slots_[span].pins.fetch_sub(1, std::memory_order_release);
  }
  // Whoever pinned it before, as far as the caller knows of that, has let go when this is false.
  // acquire pairs with the release in unpin(): their reads came first.
  bool isPinned(SpanNumber span) const {
    schedulingPoint();
    return slots_[span].pins.load(std::memory_order_acquire) != 0;
  }
  bool tryExclusive(SpanNumber span);
  void endExclusive(SpanNumber span) {
    schedulingPoint();
    if (slots_[span].pins.fetch_and(~kExclusive, std::memory_order_release) & kExclusive) holderOf(span).unlock();
  }
  // What releasing a block will read and write.
  void prefetchEntry(Loc loc) const {
    std::byte* base = bytes(spanOf(loc));
    __builtin_prefetch(base, 1);
    __builtin_prefetch(base + kSpanBytes - sizeof(Entry) * (entryOf(loc) + 1), 1);
  }

  // A spare to build a packed image in; 0 when others have them all. Then either
  // swapFrames and returnSpare, or only the latter.
  SpanNumber takeSpare();
  // The spare's frame, which holds the span's bytes of before, is nobody's after it.
  void swapFrames(SpanNumber span, SpanNumber spare);
  void returnSpare(SpanNumber spare);

  // --- in the background ---
  // From here on somebody calls tend(), and soon after `wake` was called: freed frames may
  // wait for it, and warm ones are made while a guest fills them. Null: nobody does.
  void setTended(std::function<void()> wake);
  // Gives a dirty frame back, or touches clean ones ahead of need: one, or a huge page of them.
  // False when there was nothing to do.
  bool tend();
  // Called every second or so: the dirty frames that lay idle since the last call are to be
  // given back. Others come and go with the guest's pages, and would only be missed.
  void beginTendingRound();
  // Makes one piece of the arena a huge page; false when none is to be made now. Called by
  // the thread that calls tend().
  bool tendHugePages();

  struct Usage {
    uint64_t capacityBytes;
    uint64_t usedBytes;
    uint64_t fixedBytes;     // superblock and touched span table
    uint64_t borrowedBytes;  // tables outside the arena
    uint64_t idleBytes;      // spare and dirty frames
    uint64_t takenFrames;
    uint64_t reservedBytes;
    uint64_t hugeBytes;      // in huge pages
    uint64_t freeFrames;  // that a plain take could still get
    uint64_t committedFrames;
  };
  Usage usage() const;
  // Empty when the budget adds up.
  const char* checkInvariants() const;

 private:
  static constexpr uint32_t kExclusive = 1u << 31;
  static constexpr uint32_t kHolders = 16;
  // Dirty frames kept for their former owner. While somebody tends, more may wait.
  static constexpr size_t kIdleFramesMax = 16;
  static constexpr size_t kFramesAHold = 128;  // that forgetBin() looks at under one hold of the lock
  static constexpr size_t kWarmFramesMin = 4;
  static constexpr size_t kWarmFramesMax = 64;
  static constexpr uint64_t kWarmShare = 192;  // of the frames taken, one in so many
  static constexpr uint64_t kTakenFast = 256;  // frames in the last second or two: it grows fast

  SpinLock& holderOf(SpanNumber span) { return holders_[span % kHolders]; }
  void pinAfterHolder(SpanNumber span);
  const Superblock& superblock() const { return *reinterpret_cast<const Superblock*>(arena_.at(0)); }
  static uint32_t framesFor(uint64_t capacityBytes);
  static uint64_t tableBytes(uint32_t spanCount);
  static uint64_t fileBytesFor(uint64_t capacityBytes);
  static constexpr uint64_t kHostPageBytes = 4096;
  void lay();
  void readSuperblock();
  void findSpans();
  void giveFramesOut(uint32_t frameCount);
  static void invalidate(std::byte* frame) {
    std::atomic_ref<uint32_t>(reinterpret_cast<SpanHeader*>(frame)->check).store(0, std::memory_order_release);
  }
  uint64_t borrowedFrames() const { return (borrowedBytes_ + kSpanBytes - 1) / kSpanBytes; }
  // Those that tables outside the arena cost, too. At most the budget, whatever tend() is about.
  uint64_t framesWithMemory() const {
    return takenFrames_ + borrowedFrames() + warm_.size() + dirty_.size() + tending_;
  }
  SpanNumber cleanSpan();
  uint32_t frameOf(SpanNumber span) const { return slots_[span].frame.load(std::memory_order_relaxed); }
  void punch(SpanNumber span);
  void trimIdle(size_t most);
  size_t warmTarget() const;
  uint64_t takenLately() const { return takenThisRound_ + takenLastRound_; }
  bool giveFrameBack();
  void giveBackAgain(uint32_t region);
  bool warmFrames();
  uint32_t framesToWarm(uint32_t* region) const;
  uint64_t fixedBytes() const;

  uint64_t capacityBytes_;
  Arena arena_;
  std::optional<Check> check_;
  std::vector<SpanNumber> found_;
  SpanSlot* slots_;
  std::byte* frames_;
  uint32_t spanCount_;     // numbers 1 .. spanCount_-1 are usable, spares included
  uint64_t budgetFrames_;  // without spares

  std::array<SpinLock, kHolders> holders_;  // of spans held exclusively
  std::function<void()> wake_;  // set while no page operation runs
  SpinLock tendingLock_;  // tend() has frames in hand; taken before lock_
  mutable SpinLock lock_;  // guards what follows
  std::optional<HugePages> huge_;
  std::vector<SpanNumber> clean_;  // besides those above highestUsed_
  std::vector<SpanNumber> warm_;
  std::vector<SpanNumber> dirty_;
  uint64_t tending_ = 0;        // frames tend() has in hand
  uint64_t punching_ = 0;       // of these, those it gives back
  uint64_t takenThisRound_ = 0;  // frames
  uint64_t takenLastRound_ = 0;
  bool wakeCalled_ = false;     // and tend() has not been at work since
  size_t dirtyLeast_ = 0;       // since the round began
  size_t toGiveBack_ = 0;
  std::vector<SpanNumber> spares_;
  uint64_t committedFrames_ = 0;
  uint64_t takenFrames_ = 0;
  uint64_t reservedFrames_ = 0;
  uint64_t borrowedBytes_ = 0;
  uint64_t borrowLimitBytes_ = UINT64_MAX;
  uint32_t highestUsed_ = 0;
};

}  // namespace tmemd

#endif  // TMEMD_ENGINE_SPAN_TABLE_H_
