// The guest's memory as the front end described it: a sorted table of
// regions, each a shared mapping of a file the front end passed.
//
// A guest-physical range may cross from one region into one that adjoins it
// and comes out as several host segments. Ring addresses are given in the
// front end's own address space and must lie within one region.
//
// A GuestMemory never changes once built. The control side builds a new one
// from the regions of the old, and the worker adopts it between two rounds;
// what neither holds any more is unmapped.
#ifndef TMEMD_DEVICE_GUEST_MEMORY_H_
#define TMEMD_DEVICE_GUEST_MEMORY_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "device/fault_guard.h"
#include "device/owned_fd.h"

namespace tmemd {

// A piece of host memory.
struct Segment {
  std::byte* data = nullptr;
  size_t sizeBytes = 0;
  bool mayBlock = false;  // see MappedRegion
};

// A region of SET_MEM_TABLE or ADD_MEM_REG.
struct RegionSetup {
  uint64_t guestAddress = 0;
  uint64_t sizeBytes = 0;
  uint64_t userspaceAddress = 0;
  uint64_t mmapOffsetBytes = 0;
  OwnedFd fd;
};

// How much of the process's address space a guest's regions may take together. A sparse file claims
// any amount of it for nothing.
struct MapAllowance {
  uint64_t bytesMax = UINT64_MAX;
  uint64_t bytesTaken = 0;  // by those that stay beside the next
};

// A region, mapped for as long as the object lives.
class MappedRegion {
 public:
  // Throws FrontEndError, also for more than is allowed. The descriptor is closed either way.
  explicit MappedRegion(RegionSetup setup, const MapAllowance& allowance = {});
  ~MappedRegion();
  MappedRegion(const MappedRegion&) = delete;
  MappedRegion& operator=(const MappedRegion&) = delete;

  uint64_t guestAddress() const { return guestAddress_; }
  uint64_t sizeBytes() const { return sizeBytes_; }
  // Whole pages of the file's kind.
  uint64_t mappingBytes() const { return mappingBytes_; }
  uint64_t userspaceAddress() const { return userspaceAddress_; }
  std::byte* data() const { return data_; }
  // The front end took the file away under us; see FaultGuard.
  bool lost() const { return guard_->lost(); }
  // An access may take as long as whoever serves the file likes (FUSE): nothing that others wait for may be
  // held meanwhile.
  bool mayBlock() const { return mayBlock_; }

 private:
  uint64_t guestAddress_;
  uint64_t sizeBytes_;
  uint64_t userspaceAddress_;
  void* mapping_ = nullptr;
  size_t mappingBytes_ = 0;
  std::byte* data_ = nullptr;
  bool mayBlock_ = true;
  std::unique_ptr<FaultGuard> guard_;
};

class GuestMemory {
 public:
  static constexpr size_t kMaxRegions = 509;  // MAX_MEMORY_REGIONS of src/vhost-user/requests.ts

  using Regions = std::vector<std::shared_ptr<const MappedRegion>>;

  GuestMemory() = default;
  // Throws FrontEndError when regions overlap, as the guest or as the front
  // end sees them, or when there are more than kMaxRegions.
  explicit GuestMemory(Regions regions);

  const Regions& regions() const { return regions_; }

  // Appends the host segments of a guest-physical range, in order. False, with
  // `out` in an unspecified state, when part of the range is not memory.
  bool translate(uint64_t guestAddress, uint64_t sizeBytes, std::vector<Segment>& out) const;

  // Host address of a guest-physical range; null when it is not within one region.
  const std::byte* contiguous(uint64_t guestAddress, uint64_t sizeBytes) const;

  // Host address of a range the front end names by its own addresses; null
  // when it is not within one region.
  std::byte* translateUserspace(uint64_t address, uint64_t sizeBytes) const;

  // Part of it was taken away by the front end.
  bool lost() const;

 private:
  Regions regions_;  // ascending guest addresses
  // None of them was lost when FaultGuard::losses() was this. Whoever is the first to see a new loss looks.
  mutable std::atomic<uint64_t> soundAt_{UINT64_MAX};
};

}  // namespace tmemd

#endif  // TMEMD_DEVICE_GUEST_MEMORY_H_
