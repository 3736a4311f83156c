#include "bench/peers/paged_peer.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <system_error>

namespace tmemd::bench {

PeerCorpus::PeerCorpus(const std::string& file) {
  const auto fail = [&] { return std::system_error(errno, std::generic_category(), file); };
  const int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) throw fail();
  struct stat status;
  if (fstat(fd, &status) != 0) throw fail();
  bytes_ = static_cast<size_t>(status.st_size);
  void* base = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) throw fail();
  base_ = static_cast<std::byte*>(base);
  for (size_t at = 0; at < bytes_;) {
    const ssize_t got = pread(fd, base_ + at, bytes_ - at, static_cast<off_t>(at));
    if (got <= 0) throw fail();
    at += static_cast<size_t>(got);
  }
  ::close(fd);
}

PeerCorpus::~PeerCorpus() { munmap(base_, bytes_); }

const std::byte* PeerCorpus::page(uint32_t number) const {
  const size_t at = size_t{number} * kPeerPageBytes;
  if (at + kPeerPageBytes > bytes_) throw std::out_of_range("the corpus has no such page");
  return base_ + at;
}

}  // namespace tmemd::bench
