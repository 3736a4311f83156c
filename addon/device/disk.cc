// From byte ranges of the disk to pages of the store and back.
#include "device/disk.h"

#include <algorithm>
#include <cstring>

namespace tmemd {

Disk::Disk(Store& store, GuestId guest, WorkerContext& context, uint64_t pageCount)
    : store_(store), guest_(guest), context_(context), pageCount_(pageCount) {}

bool Disk::find() {
  if (!store_.hasSession(guest_)) return false;
  const std::vector<PoolCounters> pools = store_.poolCounters(guest_);
  if (pools.empty()) return false;
  pool_ = pools.front().pool;
  return true;
}

bool Disk::create() {
  store_.reset(guest_);
  return store_.createPool(guest_, true, &pool_) == Status::kOk;
}

Disk::Result Disk::read(uint64_t offset, uint64_t sizeBytes, SegmentCursor to) {
  std::array<GetOp, kBatchPages> ops;
  std::array<Piece, kBatchPages> pieces;
  SegmentCursor ahead = to;
  while (sizeBytes > 0) {
    size_t count = 0;
    for (; count < kBatchPages && sizeBytes > 0; ++count) {
      const Piece piece = pieces[count] = pieceAt(offset, sizeBytes);
      std::byte* place = piece.whole() ? ahead.contiguous(kPageBytes) : nullptr;
      if (!place) ahead.skip(piece.sizeBytes);
      ops[count] = {.key = keyOf(piece.page), .out = place ? place : bounces_[count].data()};
      offset += piece.sizeBytes;
      sizeBytes -= piece.sizeBytes;
    }
    store_.get(context_, guest_, {ops.data(), count});
    for (size_t i = 0; i < count; ++i) {
      const Piece& piece = pieces[i];
      if (ops[i].status == Status::kMiss) {
        to.fill(std::byte{0}, piece.sizeBytes);
      } else if (ops[i].status != Status::kOk) {
        return Result::kFailed;
      } else if (ops[i].out == bounces_[i].data()) {
        to.write(bounces_[i].data() + piece.offset, piece.sizeBytes);
      } else {
        to.skip(piece.sizeBytes);
      }
    }
  }
  return Result::kDone;
}

Disk::Result Disk::write(uint64_t offset, uint64_t sizeBytes, SegmentCursor from, const GuestMemory& memory) {
  while (sizeBytes > 0) {
    const Piece piece = pieceAt(offset, sizeBytes);
    if (!piece.whole() && !staged(stage(piece.page))) return Result::kFailed;
    const uint32_t pageCount = piece.whole() ? togetherAt(piece.page, sizeBytes) : 1;
    const size_t bytes = piece.whole() ? pageCount * kPageBytes : piece.sizeBytes;
    from.read(context_.page() + piece.offset, bytes);
    if (memory.lost()) return Result::kMemoryLost;
    if (put(piece.page, pageCount) != Status::kOk) return Result::kFailed;
    offset += bytes;
    sizeBytes -= bytes;
  }
  return Result::kDone;
}

Disk::Result Disk::writeZeroes(uint64_t offset, uint64_t sizeBytes) {
  const uint64_t end = offset + sizeBytes;
  while (offset < end) {
    const Piece piece = pieceAt(offset, end - offset);
    if (piece.whole()) {
      const uint64_t endPage = end / kPageBytes;
      if (const Result result = forget(piece.page, endPage); result != Result::kDone) return result;
      offset = endPage * kPageBytes;
      continue;
    }
    if (const Result result = zeroPiece(piece); result != Result::kDone) return result;
    offset += piece.sizeBytes;
  }
  return Result::kDone;
}

Disk::Result Disk::discard(uint64_t offset, uint64_t sizeBytes) {
  return forget((offset + kPageBytes - 1) / kPageBytes, (offset + sizeBytes) / kPageBytes);
}

Disk::Piece Disk::pieceAt(uint64_t offset, uint64_t leftBytes) {
  const size_t within = offset % kPageBytes;
  return {offset / kPageBytes, within, static_cast<size_t>(std::min<uint64_t>(leftBytes, kPageBytes - within))};
}

PageKey Disk::keyOf(uint64_t page) const {
  return {pool_, {{page / kObjectPages, 0, 0}}, static_cast<uint32_t>(page % kObjectPages)};
}

Status Disk::stage(uint64_t page) {
  GetOp op{.key = keyOf(page), .out = context_.page()};
  store_.get(context_, guest_, {&op, 1});
  if (op.status == Status::kMiss) memset(context_.page(), 0, kPageBytes);
  return op.status;
}

uint32_t Disk::togetherAt(uint64_t page, uint64_t leftBytes) {
  return static_cast<uint32_t>(
      std::min({uint64_t{kPutPagesMax}, leftBytes / kPageBytes, kObjectPages - page % kObjectPages}));
}

Status Disk::put(uint64_t page, uint32_t pageCount) {
  return store_.put(context_, guest_, keyOf(page), pageCount).status;
}

Disk::Result Disk::zeroPiece(const Piece& piece) {
  const Status status = stage(piece.page);
  if (status == Status::kMiss) return Result::kDone;
  if (status != Status::kOk) return Result::kFailed;
  memset(context_.page() + piece.offset, 0, piece.sizeBytes);
  return put(piece.page, 1) == Status::kOk ? Result::kDone : Result::kFailed;
}

Disk::Result Disk::forget(uint64_t firstPage, uint64_t endPage) {
  for (uint64_t page = firstPage; page < endPage;) {
    const uint64_t count = std::min(endPage - page, kObjectPages - page % kObjectPages);
    if (store_.flush(context_, guest_, keyOf(page), count) != Status::kOk) return Result::kFailed;
    page += count;
  }
  return Result::kDone;
}

}  // namespace tmemd
