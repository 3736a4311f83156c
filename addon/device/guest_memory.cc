// Mapping regions, checking what a front end says about them, and looking addresses up.
#include "device/guest_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <limits>
#include <string>

#include "device/front_end_error.h"

namespace tmemd {
namespace {

std::string describe(const char* what, uint64_t address, uint64_t sizeBytes) {
  char text[256];
  snprintf(text, sizeof text, "memory region at 0x%llx of %llu bytes: %s",
           static_cast<unsigned long long>(address), static_cast<unsigned long long>(sizeBytes), what);
  return text;
}

bool overflows(uint64_t start, uint64_t length) {
  return start > std::numeric_limits<uint64_t>::max() - length;
}

// A file mapping's granularity: the page size of hugetlbfs, which reports it
// as its block size, else what mmap asks of any file.
uint64_t granularityBytes(const struct stat& status) {
  constexpr uint64_t kBasePageBytes = 4096;
  const auto block = static_cast<uint64_t>(status.st_blksize);
  const bool powerOfTwo = block != 0 && (block & (block - 1)) == 0;
  return powerOfTwo ? std::max(block, kBasePageBytes) : kBasePageBytes;
}

void requireDisjoint(const GuestMemory::Regions& sorted, uint64_t (MappedRegion::*start)() const,
                     const char* what) {
  for (size_t i = 1; i < sorted.size(); ++i) {
    const MappedRegion& below = *sorted[i - 1];
    const MappedRegion& region = *sorted[i];
    if ((region.*start)() - (below.*start)() < below.sizeBytes())
      throw FrontEndError(describe(what, (region.*start)(), region.sizeBytes()));
  }
}

}  // namespace

MappedRegion::MappedRegion(RegionSetup setup, const MapAllowance& allowance)
    : guestAddress_(setup.guestAddress),
      sizeBytes_(setup.sizeBytes),
      userspaceAddress_(setup.userspaceAddress) {
  auto fail = [&](const char* what) -> FrontEndError {
    return FrontEndError(describe(what, setup.guestAddress, setup.sizeBytes));
  };
  if (sizeBytes_ == 0) throw fail("its size is 0");
  if (overflows(guestAddress_, sizeBytes_)) throw fail("its guest addresses wrap around");
  if (overflows(userspaceAddress_, sizeBytes_)) throw fail("its userspace addresses wrap around");
  if (overflows(setup.mmapOffsetBytes, sizeBytes_)) throw fail("its offset and size wrap around");

  struct stat status;
  if (fstat(setup.fd.get(), &status) != 0) throw fail(strerror(errno));
  const uint64_t endBytes = setup.mmapOffsetBytes + sizeBytes_;
  if (!S_ISREG(status.st_mode)) throw fail("it is neither a memfd nor a regular file");
  if (static_cast<uint64_t>(status.st_size) < endBytes)
    throw fail("its file is shorter than offset and size say");

  const uint64_t granularity = granularityBytes(status);
  const uint64_t fileOffset = setup.mmapOffsetBytes & ~(granularity - 1);
  const uint64_t lengthBytes = endBytes - fileOffset;
  if (lengthBytes > (uint64_t{1} << 46) ||
      endBytes > static_cast<uint64_t>(std::numeric_limits<off_t>::max()))
    throw fail("it is too large to map");
  mappingBytes_ = (lengthBytes + granularity - 1) & ~(granularity - 1);
  if (mappingBytes_ > allowance.bytesMax - std::min(allowance.bytesTaken, allowance.bytesMax)) {
    const std::string most = std::to_string(allowance.bytesMax);
    throw fail(
        ("with it all regions are larger than the " + most + " bytes of the guest's memory_map_max").c_str());
  }
  mapping_ = mmap(nullptr, mappingBytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, setup.fd.get(),
                  static_cast<off_t>(fileOffset));
  if (mapping_ == MAP_FAILED) throw fail(strerror(errno));
  // Refused by some special files; guest pages then show up in core dumps, no more.
  madvise(mapping_, mappingBytes_, MADV_DONTDUMP);
  data_ = static_cast<std::byte*>(mapping_) + (setup.mmapOffsetBytes - fileOffset);
  // Only files that are memory, of a tmpfs or hugetlbfs, have seals to tell of.
  mayBlock_ = fcntl(setup.fd.get(), F_GET_SEALS) < 0;
  try {
    guard_ = std::make_unique<FaultGuard>(mapping_, mappingBytes_, granularity);
  } catch (...) {
    munmap(mapping_, mappingBytes_);
    throw;
  }
}

MappedRegion::~MappedRegion() {
  guard_.reset();
  munmap(mapping_, mappingBytes_);
}

GuestMemory::GuestMemory(Regions regions) : regions_(std::move(regions)) {
  if (regions_.size() > kMaxRegions)
    throw FrontEndError(std::to_string(regions_.size()) + " memory regions, at most " +
                        std::to_string(kMaxRegions) + " are allowed");
  std::sort(regions_.begin(), regions_.end(),
            [](const auto& a, const auto& b) { return a->userspaceAddress() < b->userspaceAddress(); });
  requireDisjoint(regions_, &MappedRegion::userspaceAddress,
                  "its userspace addresses overlap another region's");
  std::sort(regions_.begin(), regions_.end(),
            [](const auto& a, const auto& b) { return a->guestAddress() < b->guestAddress(); });
  requireDisjoint(regions_, &MappedRegion::guestAddress, "its guest addresses overlap another region's");
}

bool GuestMemory::translate(uint64_t guestAddress, uint64_t sizeBytes, std::vector<Segment>& out) const {
  auto above =
      std::upper_bound(regions_.begin(), regions_.end(), guestAddress,
                       [](uint64_t address, const auto& region) { return address < region->guestAddress(); });
  if (above == regions_.begin()) return sizeBytes == 0;
  for (auto region = above - 1; sizeBytes > 0; ++region) {
    // Unsigned: an address below the region becomes a huge offset.
    if (region == regions_.end()) return false;
    const uint64_t offset = guestAddress - (*region)->guestAddress();
    if (offset >= (*region)->sizeBytes()) return false;
    const uint64_t here = std::min(sizeBytes, (*region)->sizeBytes() - offset);
    out.push_back({(*region)->data() + offset, here, (*region)->mayBlock()});
    guestAddress += here;
    sizeBytes -= here;
  }
  return true;
}

const std::byte* GuestMemory::contiguous(uint64_t guestAddress, uint64_t sizeBytes) const {
  auto above =
      std::upper_bound(regions_.begin(), regions_.end(), guestAddress,
                       [](uint64_t address, const auto& region) { return address < region->guestAddress(); });
  if (above == regions_.begin()) return nullptr;
  const MappedRegion& region = **(above - 1);
  const uint64_t offset = guestAddress - region.guestAddress();
  if (offset >= region.sizeBytes() || sizeBytes > region.sizeBytes() - offset) return nullptr;
  return region.data() + offset;
}

std::byte* GuestMemory::translateUserspace(uint64_t address, uint64_t sizeBytes) const {
  for (const auto& region : regions_) {
    const uint64_t offset = address - region->userspaceAddress();
    if (address < region->userspaceAddress() || offset >= region->sizeBytes()) continue;
    return sizeBytes <= region->sizeBytes() - offset ? region->data() + offset : nullptr;
  }
  return nullptr;
}

bool GuestMemory::lost() const {
  const uint64_t losses = FaultGuard::losses();
  // Relaxed: both are of what this thread touched.
  if (losses == soundAt_.load(std::memory_order_relaxed)) return false;
  if (std::any_of(regions_.begin(), regions_.end(), [](const auto& region) { return region->lost(); })) return true;
  soundAt_.store(losses, std::memory_order_relaxed);
  return false;
}

}  // namespace tmemd
