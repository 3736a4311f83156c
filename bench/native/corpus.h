// A corpus as `collect` wrote it: raw pages, taken as they are.
#ifndef TMEMD_BENCH_NATIVE_CORPUS_H_
#define TMEMD_BENCH_NATIVE_CORPUS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace tmemd::bench {

using CorpusPage = std::array<std::byte, 4096>;

struct Corpus {
  std::vector<CorpusPage> pages;
  std::vector<CorpusPage> stubborn;  // what collect kept apart as hardly compressible
  // Of each content among `pages` once: LZ4's, 4096 where that does not shrink it,
  // none where it is same-filled.
  uint64_t lz4Bytes = 0;

  double meanLz4Bytes() const { return static_cast<double>(lz4Bytes) / static_cast<double>(pages.size()); }
};

// Reads FILE and, where it is there, FILE.stubborn. Throws std::runtime_error.
Corpus loadCorpus(const std::string& file);

}  // namespace tmemd::bench

#endif  // TMEMD_BENCH_NATIVE_CORPUS_H_
