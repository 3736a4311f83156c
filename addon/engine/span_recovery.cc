// The span table of an arena that a killed process left: which frame is which
// span's. See span_table.h.
#include <algorithm>
#include <cassert>
#include <cstring>
#include <string>

#include "engine/span_table.h"
#include "engine/store.h"

namespace tmemd {

SpanTable::SpanTable(int fd) : capacityBytes_(0), arena_(fd) {
  readSuperblock();
  lay();
  findSpans();
}

void SpanTable::readSuperblock() {
  if (arena_.sizeBytes() < kSuperblockBytes) {
    throw AttachError("arena of " + std::to_string(arena_.sizeBytes()) + " bytes: too small to be one");
  }
  Superblock block;
  std::memcpy(&block, arena_.at(0), sizeof block);
  if (block.magic != kArenaMagic) throw AttachError("arena: it does not start with an arena's magic word");
  if (block.version != kArenaVersion && block.version != kArenaVersionBefore) {
    throw AttachError("arena of version " + std::to_string(block.version) + ": this program reads versions " +
                      std::to_string(kArenaVersionBefore) + " and " + std::to_string(kArenaVersion));
  }
  if (block.check != Check::ofSuperblock(block)) throw AttachError("arena: its superblock is damaged");
  // What the check says was written may still have been written by another build.
  if (block.spanBytes != kSpanBytes || block.leafBytes != sizeof(Leaf) ||
      block.capacityBytes < kMinimumCapacityBytes ||
      block.capacityBytes > kSuperblockBytes + uint64_t{kMaxSpans} * (kSpanBytes + sizeof(SpanSlot)) ||
      block.spanCount != framesFor(block.capacityBytes) + 1) {
    throw AttachError("arena: its layout is not this program's");
  }
  if (block.fileBytes != arena_.sizeBytes() || block.fileBytes != fileBytesFor(block.capacityBytes)) {
    throw AttachError("arena of " + std::to_string(arena_.sizeBytes()) + " bytes: its superblock tells of " +
                      std::to_string(block.fileBytes));
  }
  capacityBytes_ = block.capacityBytes;
  check_.emplace(block.secret);
  // release: the arena is of this version before anything in it is.
  std::atomic_ref<uint32_t>(reinterpret_cast<Superblock*>(arena_.at(0))->version)
      .store(kArenaVersion, std::memory_order_release);
}

void SpanTable::findSpans() {
  uint32_t frameCount = spanCount_ - 1;
  uint64_t framesAt = kSuperblockBytes + tableBytes(spanCount_);
  struct Header {
    SpanNumber span;
    uint32_t frame;
    SpanKind kind;
    uint32_t owner;
  };
  std::vector<Header> headers;
  arena_.forEachFilled(framesAt, arena_.sizeBytes(), [&](uint64_t begin, uint64_t end) {
    // A header lies in the first page of its frame.
    for (uint64_t frame = (begin - framesAt + kSpanBytes - kHostPageBytes) / kSpanBytes;
         framesAt + frame * kSpanBytes < end && frame < frameCount; frame++) {
      SpanHeader head;
      std::memcpy(&head, frames_ + frame * kSpanBytes, sizeof head);
      if (head.check == 0 || head.span == 0 || head.span >= spanCount_) continue;
      if (head.check != check().ofSpan(head.span, head.kind, head.owner)) continue;
      headers.push_back({head.span, static_cast<uint32_t>(frame), head.kind, head.owner});
    }
  });
  std::vector<bool> live(spanCount_);
  for (const Header& head : headers) {
    if (slots_[head.span].frame.load(std::memory_order_relaxed) != head.frame) continue;
    live[head.span] = true;
    found_.push_back(head.span);
    highestUsed_ = std::max({highestUsed_, head.span, head.frame + 1});
  }
  for (const Header& head : headers) {
    if (!live[head.span]) {
      throw AttachError("arena: its span table is damaged: it names no frame of span " + std::to_string(head.span));
    }
  }
  arena_.forEachFilled(kSuperblockBytes, framesAt, [&](uint64_t begin, uint64_t end) {
    for (uint64_t span = (begin - kSuperblockBytes) / sizeof(SpanSlot);
         kSuperblockBytes + span * sizeof(SpanSlot) < end && span < spanCount_; span++) {
      SpanKind state = kindOf(static_cast<SpanNumber>(span));
      bool cells = state == SpanKind::kObjects || state == SpanKind::kLeaves || state == SpanKind::kRecords;
      if (cells && !live[span]) {
        throw AttachError("arena: the header of span " + std::to_string(span) + " is damaged");
      }
    }
  });
  if (found_.size() > budgetFrames_) throw AttachError("arena: more spans than it has room for");
  // The header is the truth; the rest of a span's place in the table follows from it.
  for (const Header& head : headers) {
    SpanSlot& slot = slots_[head.span];
    if (slot.frame.load(std::memory_order_relaxed) != head.frame) continue;
    slot.pins.store(0, std::memory_order_relaxed);
    slot.bin.store(head.owner, std::memory_order_relaxed);
    slot.state.store(static_cast<uint32_t>(head.kind), std::memory_order_relaxed);
  }
  takenFrames_ = found_.size();
  committedFrames_ = found_.size();
  giveFramesOut(frameCount);
}

// The frames that are no found span's go back to the host, and the span numbers that
// were not found get them, those up to the highest in use.
void SpanTable::giveFramesOut(uint32_t frameCount) {
  std::vector<bool> taken(frameCount + 1);
  std::vector<bool> live(spanCount_);
  for (SpanNumber span : found_) {
    live[span] = true;
    taken[slots_[span].frame.load(std::memory_order_relaxed)] = true;
  }
  taken[frameCount] = true;
  uint64_t framesAt = static_cast<uint64_t>(frames_ - arena_.at(0));
  for (uint32_t frame = 0, run = 0; frame <= frameCount; frame++) {
    if (!taken[frame]) {
      run++;
    } else if (run > 0) {
      arena_.punch(framesAt + uint64_t{frame - run} * kSpanBytes, uint64_t{run} * kSpanBytes);
      run = 0;
    }
  }
  uint32_t freeNumbers = 0;
  for (SpanNumber span = 1; span <= highestUsed_; span++) freeNumbers += !live[span];
  for (; freeNumbers < kSpareSpans; freeNumbers++) highestUsed_++;
  uint32_t frame = 0;
  for (SpanNumber span = 1; span <= highestUsed_; span++) {
    if (live[span]) continue;
    while (taken[frame]) frame++;
    SpanSlot& slot = slots_[span];
    slot.frame.store(frame++, std::memory_order_relaxed);
    slot.pins.store(0, std::memory_order_relaxed);
    slot.bin.store(0, std::memory_order_relaxed);
    slot.state.store(static_cast<uint32_t>(SpanKind::kFree), std::memory_order_relaxed);
    if (spares_.size() < kSpareSpans) {
      spares_.push_back(span);
      huge_->filled(frameOf(span));
    } else {
      clean_.push_back(span);
    }
  }
  for (SpanNumber span : found_) huge_->filled(frameOf(span));
  huge_->filledUpTo(fixedBytes());
  // Numbers above start as never used.
  uint64_t used = kSuperblockBytes + (uint64_t{highestUsed_} + 1) * sizeof(SpanSlot);
  arena_.forEachFilled(used, framesAt, [&](uint64_t begin, uint64_t end) {
    std::memset(arena_.at(begin), 0, end - begin);
  });
}

void SpanTable::adopt(FrameQuota& quota) {
  SpinGuard guard(lock_);
  // Nothing is reserved yet: max(reserved, held) grows by the one the frame counted before.
  assert(quota.reservedFrames == 0);
  quota.heldFrames++;
}

}  // namespace tmemd
