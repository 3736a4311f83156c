#include "engine/arena.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>

#include "engine/store.h"

namespace tmemd {

namespace {

constexpr uint64_t kHostPageBytes = 4096;

[[noreturn]] void fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

[[noreturn]] void closeAndFail(int fd, const char* what) {
  int error = errno;
  close(fd);
  errno = error;
  fail(what);
}

}  // namespace

Arena::Arena(int fd, uint64_t sizeBytes) {
  if (fd < 0) {
    fd_ = memfd_create("tmemd-arena", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd_ < 0) fail("memfd_create of the arena");
  } else {
    openLocked(fd);
    if (sizeBytes_ != 0) {
      close(fd_);
      throw AttachError("arena: the file for a new one is not empty");
    }
  }
  sizeBytes_ = sizeBytes;
  if (ftruncate(fd_, static_cast<off_t>(sizeBytes)) != 0) closeAndFail(fd_, "ftruncate of the arena");
  map();
}

Arena::Arena(int fd) {
  openLocked(fd);
  if (sizeBytes_ > 0) map();
}

// A lock belongs to an open file, which copies of a descriptor share: so the file is
// opened anew. The lock goes when the process does.
void Arena::openLocked(int fd) {
  std::string path = "/proc/self/fd/" + std::to_string(fd);
  fd_ = open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd_ < 0) fail("open of the arena's file");
  if (flock(fd_, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) closeAndFail(fd_, "flock of the arena");
    close(fd_);
    throw AttachError("arena: another store has it");
  }
  struct stat status;
  if (fstat(fd_, &status) != 0) closeAndFail(fd_, "fstat of the arena");
  sizeBytes_ = static_cast<uint64_t>(status.st_size);
}

void Arena::map() {
  // Nobody can truncate it under us, where the file allows seals.
  fcntl(fd_, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  // A huge page lies at a multiple of its size in the file and in memory: so one address is
  // reserved in which both agree.
  uint64_t room = sizeBytes_ + kHugeBytes;
  void* reserved = mmap(nullptr, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (reserved == MAP_FAILED) closeAndFail(fd_, "mmap of the arena");
  std::byte* low = static_cast<std::byte*>(reserved);
  std::byte* aligned = low + (kHugeBytes - reinterpret_cast<uintptr_t>(low) % kHugeBytes) % kHugeBytes;
  if (mmap(aligned, sizeBytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd_, 0) == MAP_FAILED) {
    int error = errno;
    munmap(reserved, room);
    errno = error;
    closeAndFail(fd_, "mmap of the arena");
  }
  base_ = aligned;
  std::byte* end = base_ + (sizeBytes_ + kHostPageBytes - 1) / kHostPageBytes * kHostPageBytes;
  if (base_ > low) munmap(low, static_cast<size_t>(base_ - low));
  if (end < low + room) munmap(end, static_cast<size_t>(low + room - end));
  madvise(base_, sizeBytes_, MADV_DONTDUMP);
  loss_.emplace(base_, sizeBytes_, fd_);
}

Arena::~Arena() {
  loss_.reset();
  if (base_) munmap(base_, sizeBytes_);
  close(fd_);
}

void Arena::punch(uint64_t offset, uint64_t lengthBytes) {
  if (fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                static_cast<off_t>(lengthBytes)) != 0) {
    std::memset(at(offset), 0, lengthBytes);  // the promise that counts: it reads as zeros
  }
}

void Arena::populate(uint64_t offset, uint64_t lengthBytes) {
#ifdef MADV_POPULATE_WRITE
  madvise(at(offset), lengthBytes, MADV_POPULATE_WRITE);  // only a hint: a later touch does the same
#else
  (void)offset, (void)lengthBytes;
#endif
}

Arena::HugeResult Arena::makeHuge(uint64_t offset) const {
  constexpr int kCollapse = 25;  // MADV_COLLAPSE, Linux 6.1; not in every C library's headers
  if (madvise(at(offset), kHugeBytes, kCollapse) == 0) return HugeResult::kMade;
  if (errno == EAGAIN) return HugeResult::kBusy;
  // EBUSY: the limit of a control group.
  return errno == ENOMEM || errno == EBUSY ? HugeResult::kNoMemory : HugeResult::kCannot;
}

uint64_t Arena::nextFilled(uint64_t offset) const {
  off_t found = lseek(fd_, static_cast<off_t>(offset), SEEK_DATA);
  if (found >= 0) return static_cast<uint64_t>(found);
  return errno == ENXIO ? sizeBytes_ : offset;  // a file system that cannot tell: all of it
}

uint64_t Arena::nextHole(uint64_t offset) const {
  off_t found = lseek(fd_, static_cast<off_t>(offset), SEEK_HOLE);
  return found > static_cast<off_t>(offset) ? static_cast<uint64_t>(found) : sizeBytes_;
}

}  // namespace tmemd
