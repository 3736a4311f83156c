// The memory of a pretended guest: one memfd, shown to the back end as any
// number of regions.
//
// Three address spaces meet here. *Guest physical* addresses are what
// descriptors carry. *Userspace* addresses are where a front end would have
// mapped the memory; ring addresses are given in them, and they are made up,
// since nobody but the back end's translation ever uses them. *Host* pointers
// are this process's own mapping. Regions may leave gaps, touch one another,
// or lie in the memfd in another order than in guest physical space.
//
// Driver side only: shares no code with the device it is used to test.
#ifndef TMEMD_TEST_MOCK_GUEST_MEMORY_H_
#define TMEMD_TEST_MOCK_GUEST_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace tmemd::mock {

struct Region {
  uint64_t guestPhysical = 0;
  uint64_t userspace = 0;
  uint64_t offset = 0;  // in the memfd
  uint64_t size = 0;
};

class GuestMemory {
 public:
  // The memfd is as long as the furthest region needs. Throws std::system_error.
  explicit GuestMemory(std::vector<Region> regions);
  ~GuestMemory();
  GuestMemory(const GuestMemory&) = delete;
  GuestMemory& operator=(const GuestMemory&) = delete;

  int fd() const { return fd_; }
  std::span<const Region> regions() const { return regions_; }

  // Host pointer to [address, address + length), which must lie in one region;
  // throws std::out_of_range otherwise.
  std::byte* at(uint64_t address, uint64_t length) const;
  uint64_t userspaceOf(uint64_t address) const;

  // Copies, across touching regions too.
  void write(uint64_t address, std::span<const std::byte> bytes);
  void read(uint64_t address, std::span<std::byte> bytes) const;

  // Hands out memory of one region from its start, never taken back.
  uint64_t allocate(size_t regionIndex, uint64_t bytes, uint64_t alignment);

  // Shortens the memfd under everybody's mappings, as a hostile front end may.
  // Touching what was cut off through this object is then SIGBUS, as it is for
  // the back end.
  void truncate(uint64_t sizeBytes);

 private:
  const Region& regionOf(uint64_t address) const;

  std::vector<Region> regions_;
  std::vector<uint64_t> allocated_;  // per region, bytes handed out
  uint64_t sizeBytes_ = 0;
  int fd_ = -1;
  std::byte* base_ = nullptr;
};

}  // namespace tmemd::mock

#endif  // TMEMD_TEST_MOCK_GUEST_MEMORY_H_
