// A block device, past the page cache: a page is a system call, and for a device
// such as zram the copy and the compression happen within it.
#ifndef TMEMD_BENCH_PEERS_BLOCK_DEVICE_H_
#define TMEMD_BENCH_PEERS_BLOCK_DEVICE_H_

#include <span>
#include <string>

#include "bench/peers/paged_peer.h"

namespace tmemd::bench {

class BlockDevice {
 public:
  // Page n of the corpus is page n of the device. Throws std::system_error.
  BlockDevice(const std::string& path, const std::string& corpusFile);
  ~BlockDevice();
  BlockDevice(const BlockDevice&) = delete;
  BlockDevice& operator=(const BlockDevice&) = delete;

  PeerResult put(std::span<const uint32_t> pages);
  PeerResult get(std::span<const uint32_t> pages, bool verify);

 private:
  const PeerCorpus corpus_;
  int fd_ = -1;
};

}  // namespace tmemd::bench

#endif  // TMEMD_BENCH_PEERS_BLOCK_DEVICE_H_
