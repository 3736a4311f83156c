#include "engine/huge_pages.h"

#include <algorithm>

namespace tmemd {

HugePages::HugePages(const Arena& arena, uint64_t framesAt)
    : arena_(arena), framesAt_(framesAt), regions_(arena.sizeBytes() / Arena::kHugeBytes) {}

bool HugePages::isFull(uint32_t region) const {
  uint64_t begin = regionAt(region);
  uint64_t end = begin + Arena::kHugeBytes;
  if (filledEnd_ < std::min(end, framesAt_) && begin < framesAt_) return false;
  if (end <= framesAt_) return true;
  uint64_t firstFrame = begin <= framesAt_ ? 0 : (begin - framesAt_) / kSpanBytes;
  uint64_t lastFrame = (end - 1 - framesAt_) / kSpanBytes;
  return regions_[region].filledFrames == lastFrame - firstFrame + 1;
}

bool HugePages::addsUp() const {
  uint64_t huge = 0;
  for (uint32_t region = 0; region < regions_.size(); region++) {
    if (regions_[region].state != State::kHuge) continue;
    huge++;
    if (!isFull(region)) return false;
  }
  return huge == hugeRegions_;
}

void HugePages::queueIfFull(uint32_t region) {
  Region& at = regions_[region];
  if (impossible_ || at.state != State::kPlain || !isFull(region)) return;
  at.state = State::kQueued;
  queue_.push_back({region, round_, everFilled_});
}

void HugePages::filledUpTo(uint64_t offset) {
  uint64_t before = filledEnd_;
  filledEnd_ = std::min(offset, framesAt_);
  for (uint64_t region = before / Arena::kHugeBytes; region * Arena::kHugeBytes < filledEnd_; region++) {
    if (filledEnd_ > before && region < regions_.size()) queueIfFull(static_cast<uint32_t>(region));
  }
}

void HugePages::fill(uint32_t region) {
  if (region >= regions_.size()) return;
  regions_[region].filledFrames++;
  queueIfFull(region);
}

void HugePages::empty(uint32_t region) {
  if (region >= regions_.size()) return;
  Region& at = regions_[region];
  at.filledFrames--;
  if (at.state == State::kInHand) at.emptiedInHand = true;
  if (at.state == State::kHuge) {
    at.state = State::kPlain;
    hugeRegions_--;
  }
}

void HugePages::filled(uint32_t frame) {
  filledFrames_++;
  everFilled_++;
  fill(firstOf(frame));
  if (lastOf(frame) != firstOf(frame)) fill(lastOf(frame));
}

void HugePages::emptied(uint32_t frame) {
  filledFrames_--;
  empty(firstOf(frame));
  if (lastOf(frame) != firstOf(frame)) empty(lastOf(frame));
}

bool HugePages::begin(uint32_t* region) {
  if (round_ < pausedUntil_) return false;
  while (!queue_.empty()) {
    Queued next = queue_.front();
    // A second is one round and the rest of another.
    if (everFilled_ - next.everFilled < kSettledFrames && round_ - next.round < 2) return false;
    queue_.pop_front();
    Region& at = regions_[next.region];
    at.state = State::kPlain;
    if (!isFull(next.region)) continue;
    at.state = State::kInHand;
    at.emptiedInHand = false;
    *region = next.region;
    return true;
  }
  return false;
}

uint32_t HugePages::framesOfRegionFrom(uint32_t frame, uint32_t* region) const {
  uint64_t begin = framesAt_ + uint64_t{frame} * kSpanBytes;
  *region = lastOf(frame);
  bool isFirst = firstOf(frame) != *region || begin % Arena::kHugeBytes == 0;
  if (!isFirst || impossible_ || round_ < pausedUntil_ || *region >= regions_.size()) return 0;
  uint64_t end = regionAt(*region) + Arena::kHugeBytes;
  return static_cast<uint32_t>((end - begin + kSpanBytes - 1) / kSpanBytes);
}

bool HugePages::finish(uint32_t region, Arena::HugeResult result) {
  Region& at = regions_[region];
  at.state = State::kPlain;
  if (result == Arena::HugeResult::kMade) everMade_ = true;
  if (result == Arena::HugeResult::kNoMemory) pausedUntil_ = round_ + kRoundsPaused;
  if (result == Arena::HugeResult::kCannot) {
    // A kernel or file system that never can is not asked again; else it is this region.
    impossible_ = !everMade_;
    if (impossible_) queue_.clear();
  } else if (result == Arena::HugeResult::kMade && !at.emptiedInHand) {
    at.state = State::kHuge;
    hugeRegions_++;
  } else {
    queueIfFull(region);
  }
  return at.emptiedInHand;
}

}  // namespace tmemd
