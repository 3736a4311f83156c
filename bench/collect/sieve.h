// Sorts the pages a source offers into a corpus: each content once, no
// same-filled pages, and those LZ4 leaves above 3800 bytes kept apart, so that no
// page is cheaper than the work being measured.
#ifndef TMEMD_BENCH_COLLECT_SIEVE_H_
#define TMEMD_BENCH_COLLECT_SIEVE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <unordered_set>
#include <vector>

namespace tmemd::bench {

inline constexpr size_t kPage = 4096;
using RawPage = std::array<std::byte, kPage>;

class Sieve {
 public:
  explicit Sieve(size_t pagesMax) : pagesMax_(pagesMax) {}

  bool full() const { return pages_.size() >= pagesMax_; }
  // kPage bytes; ignored when full.
  void add(const std::byte* bytes);

  const std::vector<RawPage>& pages() const { return pages_; }
  const std::vector<RawPage>& stubborn() const { return stubborn_; }

 private:
  const size_t pagesMax_;
  std::vector<RawPage> pages_;
  std::vector<RawPage> stubborn_;  // at most as many as pagesMax_
  std::unordered_set<uint64_t> seen_;
};

}  // namespace tmemd::bench

#endif  // TMEMD_BENCH_COLLECT_SIEVE_H_
