// A stream of one-page requests to a vhost-user-blk disk, ours or another's:
// what the bench times. The counterpart of Load for virtio-blk.
//
// The pages written are used where they lie in guest memory; a page read lands
// in one of `depth` pages taken in turn. Page n of the corpus is page n of the
// disk.
#ifndef TMEMD_TEST_MOCK_BLK_LOAD_H_
#define TMEMD_TEST_MOCK_BLK_LOAD_H_

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "mock/page_slots.h"

namespace tmemd::mock {

class BlkLoad {
 public:
  struct Result {
    uint64_t elapsedNs = 0;             // first submission to last completion
    std::array<uint64_t, 3> byStatus{};  // requests, by VIRTIO_BLK_S_*
    uint64_t mismatches = 0;            // pages read that are not what was written
    std::vector<uint32_t> latencyNs;    // per request, at depth 1 only
  };

  // The corpus lies at `corpusAddress`; the slots are placed in `regionIndex`.
  BlkLoad(GuestMemory& memory, Ring& ring, size_t regionIndex, uint32_t depth, uint64_t corpusAddress);

  Result write(std::span<const uint32_t> pages);
  // `verify` compares each page with the corpus, inside the time measured.
  Result read(std::span<const uint32_t> pages, bool verify);
  Result discard(std::span<const uint32_t> pages);

 private:
  Result run(std::span<const uint32_t> pages, uint32_t type, bool verify);
  uint16_t submit(uint32_t slot, uint32_t page, uint32_t type);

  Ring& ring_;
  const uint32_t depth_;
  PageSlots slots_;
};

}  // namespace tmemd::mock

#endif  // TMEMD_TEST_MOCK_BLK_LOAD_H_
