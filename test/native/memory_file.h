// A file in memory for an arena, and copies of it as a kill would leave it.
#ifndef TMEMD_TEST_NATIVE_MEMORY_FILE_H_
#define TMEMD_TEST_NATIVE_MEMORY_FILE_H_

#include <doctest/doctest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <vector>

namespace tmemd {

using Image = std::vector<std::byte>;

struct MemoryFile {
  MemoryFile() : fd(memfd_create("arena", MFD_ALLOW_SEALING)) { REQUIRE(fd >= 0); }
  ~MemoryFile() { close(fd); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  Image read() const {
    struct stat status;
    REQUIRE(fstat(fd, &status) == 0);
    Image image(static_cast<size_t>(status.st_size));
    REQUIRE(pread(fd, image.data(), image.size(), 0) == static_cast<ssize_t>(image.size()));
    return image;
  }
  void write(const Image& image) const {
    REQUIRE(pwrite(fd, image.data(), image.size(), 0) == static_cast<ssize_t>(image.size()));
  }
  const int fd;
};

}  // namespace tmemd

#endif  // TMEMD_TEST_NATIVE_MEMORY_FILE_H_
