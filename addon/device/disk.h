// A disk whose blocks are pages of one persistent pool of a guest.
//
//   byte offset on the disk = page number n, and an offset in it
//   page n = key {pool, object {n >> 10, 0, 0}, index n & 1023}         4 MiB an object
//
// A page that was never written, or was discarded, is not in the pool and
// reads as zeros. What covers only part of a page is got, changed and put
// again. That cannot be torn by another queue, because one worker serves all
// queues of a guest.
//
// The pool lives as long as the store's session of the guest, which the disk
// opens: across resets of the guest and across connections, until the control
// plane drops it. Writes cannot be refused as long as the guest's reserve is
// the size of the disk.
//
// Threads: the worker's.
#ifndef TMEMD_DEVICE_DISK_H_
#define TMEMD_DEVICE_DISK_H_

#include <array>
#include <cstdint>

#include "device/chain.h"
#include "device/guest_memory.h"
#include "engine/store.h"

namespace tmemd {

class Disk {
 public:
  enum class Result {
    kDone,
    kFailed,      // a page is corrupt, the pool was dropped, or there was no room after all
    kMemoryLost,  // guest memory is gone: what was read of it was not used
  };

  Disk(Store& store, GuestId guest, WorkerContext& context, uint64_t pageCount);

  uint64_t sizeBytes() const { return pageCount_ * kPageBytes; }

  // Finds the pool. False when there is none.
  bool find();
  // Starts a new life: all zeros. False when the store has no place for a pool.
  bool create();

  // Offsets and sizes in bytes, of any alignment, within the disk. The cursors have room.
  Result read(uint64_t offset, uint64_t sizeBytes, SegmentCursor to);
  Result write(uint64_t offset, uint64_t sizeBytes, SegmentCursor from, const GuestMemory& memory);
  Result writeZeroes(uint64_t offset, uint64_t sizeBytes);
  // Lets go of the pages that lie wholly in the range; the rest of it stays as it is.
  Result discard(uint64_t offset, uint64_t sizeBytes);

 private:
  // Read together, so that the store can prefetch.
  static constexpr size_t kBatchPages = 16;
  static constexpr uint64_t kObjectPages = 1024;

  // What of one page a request is about.
  struct Piece {
    uint64_t page;
    size_t offset;
    size_t sizeBytes;
    bool whole() const { return sizeBytes == kPageBytes; }
  };
  static Piece pieceAt(uint64_t offset, uint64_t leftBytes);

  PageKey keyOf(uint64_t page) const;
  // Into the staging page: the page as it is, or zeros and kMiss for one that is not there.
  Status stage(uint64_t page);
  static bool staged(Status status) { return status == Status::kOk || status == Status::kMiss; }
  // How many whole pages from `page` on one put takes.
  static uint32_t togetherAt(uint64_t page, uint64_t leftBytes);
  Status put(uint64_t page, uint32_t pageCount);
  Result zeroPiece(const Piece& piece);
  Result forget(uint64_t firstPage, uint64_t endPage);

  Store& store_;
  const GuestId guest_;
  WorkerContext& context_;
  const uint64_t pageCount_;
  PoolId pool_ = 0;
  std::array<std::array<std::byte, kPageBytes>, kBatchPages> bounces_;
};

}  // namespace tmemd

#endif  // TMEMD_DEVICE_DISK_H_
