// What a client of a peer measures, and the corpus it is measured on.
#ifndef TMEMD_BENCH_PEERS_PAGED_PEER_H_
#define TMEMD_BENCH_PEERS_PAGED_PEER_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace tmemd::bench {

inline constexpr size_t kPeerPageBytes = 4096;

// As the loads of test/mock report.
struct PeerResult {
  uint64_t elapsedNs = 0;           // first request to last answer
  uint64_t mismatches = 0;          // pages got that are not what was put
  std::vector<uint32_t> latencyNs;  // per request, with one in flight only
};

class Stopwatch {
 public:
  uint64_t ns() const {
    const auto elapsed = std::chrono::steady_clock::now() - start_;
    return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(elapsed).count());
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// A file of whole pages in memory of this process's own.
class PeerCorpus {
 public:
  // Throws std::system_error.
  explicit PeerCorpus(const std::string& file);
  ~PeerCorpus();
  PeerCorpus(const PeerCorpus&) = delete;
  PeerCorpus& operator=(const PeerCorpus&) = delete;

  // Throws std::out_of_range.
  const std::byte* page(uint32_t number) const;

 private:
  size_t bytes_ = 0;
  std::byte* base_ = nullptr;
};

}  // namespace tmemd::bench

#endif  // TMEMD_BENCH_PEERS_PAGED_PEER_H_
