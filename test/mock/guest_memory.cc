#include "mock/guest_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace tmemd::mock {

GuestMemory::GuestMemory(std::vector<Region> regions)
    : regions_(std::move(regions)), allocated_(regions_.size(), 0) {
  for (const Region& region : regions_) sizeBytes_ = std::max(sizeBytes_, region.offset + region.size);
  fd_ = memfd_create("mock-guest-memory", MFD_CLOEXEC);
  if (fd_ < 0) throw std::system_error(errno, std::generic_category(), "memfd_create");
  void* base = MAP_FAILED;
  if (ftruncate(fd_, static_cast<off_t>(sizeBytes_)) == 0)
    base = mmap(nullptr, sizeBytes_, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
  if (base == MAP_FAILED) {
    const int error = errno;
    close(fd_);
    throw std::system_error(error, std::generic_category(), "mapping guest memory");
  }
  base_ = static_cast<std::byte*>(base);
}

GuestMemory::~GuestMemory() {
  munmap(base_, sizeBytes_);
  close(fd_);
}

const Region& GuestMemory::regionOf(uint64_t address) const {
  for (const Region& region : regions_)
    if (address >= region.guestPhysical && address - region.guestPhysical < region.size) return region;
  throw std::out_of_range("no region at guest physical address " + std::to_string(address));
}

std::byte* GuestMemory::at(uint64_t address, uint64_t length) const {
  const Region& region = regionOf(address);
  if (length > region.size - (address - region.guestPhysical))
    throw std::out_of_range("beyond the region of guest physical address " + std::to_string(address));
  return base_ + region.offset + (address - region.guestPhysical);
}

uint64_t GuestMemory::userspaceOf(uint64_t address) const {
  const Region& region = regionOf(address);
  return region.userspace + (address - region.guestPhysical);
}

void GuestMemory::write(uint64_t address, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const Region& region = regionOf(address);
    const uint64_t run = std::min<uint64_t>(bytes.size(), region.size - (address - region.guestPhysical));
    std::memcpy(at(address, run), bytes.data(), run);
    bytes = bytes.subspan(run);
    address += run;
  }
}

void GuestMemory::read(uint64_t address, std::span<std::byte> bytes) const {
  while (!bytes.empty()) {
    const Region& region = regionOf(address);
    const uint64_t run = std::min<uint64_t>(bytes.size(), region.size - (address - region.guestPhysical));
    std::memcpy(bytes.data(), at(address, run), run);
    bytes = bytes.subspan(run);
    address += run;
  }
}

uint64_t GuestMemory::allocate(size_t regionIndex, uint64_t bytes, uint64_t alignment) {
  const Region& region = regions_.at(regionIndex);
  uint64_t& used = allocated_.at(regionIndex);
  const uint64_t start = (region.guestPhysical + used + alignment - 1) / alignment * alignment;
  if (start - region.guestPhysical > region.size || bytes > region.size - (start - region.guestPhysical))
    throw std::length_error("guest region " + std::to_string(regionIndex) + " has no room left for " +
                            std::to_string(bytes) + " bytes");
  used = start - region.guestPhysical + bytes;
  return start;
}

void GuestMemory::truncate(uint64_t sizeBytes) {
  if (ftruncate(fd_, static_cast<off_t>(sizeBytes)) != 0)
    throw std::system_error(errno, std::generic_category(), "truncating guest memory");
}

}  // namespace tmemd::mock
