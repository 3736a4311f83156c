#include "engine/arena.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

namespace tmemd {

namespace {

[[noreturn]] void fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

}  // namespace

Arena::Arena(uint64_t sizeBytes) : sizeBytes_(sizeBytes) {
  fd_ = memfd_create("tmemd-arena", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd_ < 0) fail("memfd_create of the arena");
  if (ftruncate(fd_, static_cast<off_t>(sizeBytes)) != 0) {
    int error = errno;
    close(fd_);
    errno = error;
    fail("ftruncate of the arena");
  }
  // Nobody can truncate it under us.
  fcntl(fd_, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  void* base = mmap(nullptr, sizeBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd_, 0);
  if (base == MAP_FAILED) {
    int error = errno;
    close(fd_);
    errno = error;
    fail("mmap of the arena");
  }
  base_ = static_cast<std::byte*>(base);
  madvise(base_, sizeBytes, MADV_DONTDUMP);
}

Arena::~Arena() {
  munmap(base_, sizeBytes_);
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

}  // namespace tmemd
