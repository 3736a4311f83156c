// A stream of one-page requests with a fixed number in flight, as fast as the
// device serves them: what the bench times and what stress tests lean on.
//
// The pages put are used where they lie in guest memory, as a guest's driver
// does; a get lands in one of `depth` pages taken in turn. Page n of the
// corpus has the key of swap slot n: object n >> 10, index n mod 1024.
#ifndef TMEMD_TEST_MOCK_LOAD_H_
#define TMEMD_TEST_MOCK_LOAD_H_

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "mock/page_slots.h"

namespace tmemd::mock {

class Load {
 public:
  struct Result {
    uint64_t elapsedNs = 0;               // first submission to last completion
    std::array<uint64_t, 9> byStatus{};   // requests, by VIRTIO_TMEM_S_*
    uint64_t mismatches = 0;              // pages got that are not what was put
    std::vector<uint32_t> latencyNs;      // per request, at depth 1 only
  };

  // The corpus lies at `corpusAddress`; the slots are placed in `regionIndex`.
  Load(GuestMemory& memory, Ring& ring, size_t regionIndex, uint32_t depth, uint32_t pool,
       uint64_t corpusAddress);

  Result put(std::span<const uint32_t> pages) { return run(pages, Kind::kPut, false); }
  // `verify` compares each page with the corpus, inside the time measured.
  Result get(std::span<const uint32_t> pages, bool verify) { return run(pages, Kind::kGet, verify); }
  Result flush(std::span<const uint32_t> pages) { return run(pages, Kind::kFlush, false); }

 private:
  enum class Kind { kPut, kGet, kFlush };

  Result run(std::span<const uint32_t> pages, Kind kind, bool verify);
  uint16_t submit(uint32_t slot, uint32_t page, Kind kind);

  Ring& ring_;
  const uint32_t depth_;
  const uint32_t pool_;
  PageSlots slots_;
};

}  // namespace tmemd::mock

#endif  // TMEMD_TEST_MOCK_LOAD_H_
