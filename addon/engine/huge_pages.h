// Which pieces of the arena could be huge pages, and which were made so.
//
// A *region* is 2 MiB of the arena's file. It is *full* when all of it counts as used: every
// frame that reaches into it, and what it has of the span table. Only a full one is
// made a huge page, so that none holds memory the store does not account for; while the
// kernel copies it there are two. Who touches the region then waits until that is
// done, about a millisecond where the processor is free, so it is left alone until kSettledFrames more
// frames were filled or a second went by: puts go to the frames filled last.
//
// A store that grows fast has its frames touched a region at a time, before it uses them; they
// count from then on. The region is a huge page from the start, nothing is copied and nobody waits.
//
// Giving a frame back splits the huge page; the region is made one again when it is full again.
//
// The arena's file need not allow huge pages: they are asked for one by one
// (MADV_COLLAPSE, Linux 6.1). Where the kernel cannot, all stays as it is.
#ifndef TMEMD_ENGINE_HUGE_PAGES_H_
#define TMEMD_ENGINE_HUGE_PAGES_H_

#include <cstdint>
#include <deque>
#include <vector>

#include "engine/arena.h"
#include "engine/layout.h"

namespace tmemd {

// Guarded by the span table's lock, but for make().
class HugePages {
 public:
  // Frames begin at `framesAt` of the arena.
  HugePages(const Arena& arena, uint64_t framesAt);

  // A frame holds memory from here on, or no more.
  void filled(uint32_t frame);
  void emptied(uint32_t frame);
  // What lies before the frames holds memory up to here; that only grows.
  void filledUpTo(uint64_t offset);
  void beginRound() { round_++; }

  // A region to be made a huge page now. It is the caller's until finish(); one at a time.
  bool begin(uint32_t* region);
  // How many frames from `frame` on, none of which was ever filled, reach into the region that
  // it is the first of; 0 when it is the first of none, or no huge pages are to be had.
  uint32_t framesOfRegionFrom(uint32_t frame, uint32_t* region) const;
  // Before the frames of such a region are filled. It is the caller's until finish(), too.
  void beginEmpty(uint32_t region) { regions_[region].state = State::kInHand; }
  // Without the lock.
  Arena::HugeResult make(uint32_t region) const { return arena_.makeHuge(regionAt(region)); }
  // True when frames of it were given back meanwhile: the kernel may have filled them, so
  // those which are still free must be given back again.
  bool finish(uint32_t region, Arena::HugeResult result);
  bool reaches(uint32_t frame, uint32_t region) const {
    return firstOf(frame) == region || lastOf(frame) == region;
  }

  uint64_t hugeBytes() const { return hugeRegions_ * Arena::kHugeBytes; }
  uint64_t filledFrames() const { return filledFrames_; }
  // Are there as many huge pages as are counted, and all of them full?
  bool addsUp() const;

 private:
  static constexpr uint64_t kSettledFrames = 64;
  // When the kernel has no memory nothing is asked for so many rounds.
  static constexpr uint32_t kRoundsPaused = 60;

  enum class State : uint8_t { kPlain, kQueued, kInHand, kHuge };
  struct Region {
    uint8_t filledFrames = 0;
    State state = State::kPlain;
    bool emptiedInHand = false;
  };
  struct Queued {
    uint32_t region;
    uint32_t round;
    uint64_t everFilled;
  };

  uint64_t regionAt(uint32_t region) const { return uint64_t{region} * Arena::kHugeBytes; }
  uint32_t firstOf(uint32_t frame) const {
    return static_cast<uint32_t>((framesAt_ + uint64_t{frame} * kSpanBytes) / Arena::kHugeBytes);
  }
  uint32_t lastOf(uint32_t frame) const {
    return static_cast<uint32_t>((framesAt_ + (uint64_t{frame} + 1) * kSpanBytes - 1) / Arena::kHugeBytes);
  }
  bool isFull(uint32_t region) const;
  void queueIfFull(uint32_t region);
  void fill(uint32_t region);
  void empty(uint32_t region);

  const Arena& arena_;
  const uint64_t framesAt_;
  uint64_t filledEnd_ = 0;  // before the frames
  std::vector<Region> regions_;  // those that lie in the arena wholly
  std::deque<Queued> queue_;     // each region at most once
  uint64_t filledFrames_ = 0;
  uint64_t everFilled_ = 0;
  uint64_t hugeRegions_ = 0;
  uint32_t round_ = 0;
  uint32_t pausedUntil_ = 0;
  bool everMade_ = false;
  bool impossible_ = false;
};

}  // namespace tmemd

#endif  // TMEMD_ENGINE_HUGE_PAGES_H_
