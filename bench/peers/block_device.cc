#include "bench/peers/block_device.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

namespace tmemd::bench {

namespace {

off_t offsetOf(uint32_t page) { return static_cast<off_t>(size_t{page} * kPeerPageBytes); }

template <typename Request>
PeerResult oneByOne(std::span<const uint32_t> pages, Request request) {
  PeerResult result;
  result.latencyNs.reserve(pages.size());
  const Stopwatch whole;
  for (const uint32_t page : pages) {
    const Stopwatch one;
    if (request(page, result) != static_cast<ssize_t>(kPeerPageBytes))
      throw std::system_error(errno, std::generic_category(), "the block device");
    result.latencyNs.push_back(static_cast<uint32_t>(one.ns()));
  }
  result.elapsedNs = whole.ns();
  return result;
}

}  // namespace

BlockDevice::BlockDevice(const std::string& path, const std::string& corpusFile)
    : corpus_(corpusFile), fd_(open(path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC)) {
  if (fd_ < 0) throw std::system_error(errno, std::generic_category(), path);
}

BlockDevice::~BlockDevice() { ::close(fd_); }

PeerResult BlockDevice::put(std::span<const uint32_t> pages) {
  return oneByOne(pages, [&](uint32_t page, PeerResult&) {
    return pwrite(fd_, corpus_.page(page), kPeerPageBytes, offsetOf(page));
  });
}

PeerResult BlockDevice::get(std::span<const uint32_t> pages, bool verify) {
  alignas(kPeerPageBytes) static std::byte landing[kPeerPageBytes];
  return oneByOne(pages, [&](uint32_t page, PeerResult& result) {
    const ssize_t got = pread(fd_, landing, kPeerPageBytes, offsetOf(page));
    if (verify && std::memcmp(landing, corpus_.page(page), kPeerPageBytes) != 0) ++result.mismatches;
    return got;
  });
}

}  // namespace tmemd::bench
