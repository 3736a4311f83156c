// Pages of real memory and files, collected on the spot. None is shipped.
#ifndef TMEMD_BENCH_NATIVE_CORPUS_H_
#define TMEMD_BENCH_NATIVE_CORPUS_H_

#include <array>
#include <cstddef>
#include <string>
#include <vector>

namespace tmemd::bench {

using CorpusPage = std::array<std::byte, 4096>;

struct Corpus {
  std::string name;
  std::vector<CorpusPage> pages;     // unique, not same-filled, compressible; in the order found
  std::vector<CorpusPage> stubborn;  // unique pages LZ4 leaves above 3800 bytes
  double meanLz4Bytes = 0;           // of `pages`
};

// `spec` is one of
//   node        the heap of a Node process that has loaded and parsed much
//   python      the heap of a Python process, likewise
//   bin         shared libraries and programs of this machine
//   text        headers and documentation of this machine
//   pid:N       private writable memory of a running process
//   file:PATH   raw pages
// Throws std::runtime_error with what is missing.
Corpus collect(const std::string& spec, size_t pagesMax);

}  // namespace tmemd::bench

#endif  // TMEMD_BENCH_NATIVE_CORPUS_H_
