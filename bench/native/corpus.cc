#include "corpus.h"

#include <lz4.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <unordered_set>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace tmemd::bench {

namespace {

constexpr size_t kPage = sizeof(CorpusPage);

std::vector<CorpusPage> readPages(const std::string& file) {
  std::error_code error;
  const uintmax_t bytes = std::filesystem::file_size(file, error);
  if (error) throw std::runtime_error("cannot read " + file + ": " + error.message());
  std::vector<CorpusPage> pages(bytes / kPage);
  std::ifstream in(file, std::ios::binary);
  if (!in.read(reinterpret_cast<char*>(pages.data()), static_cast<std::streamsize>(pages.size() * kPage)))
    throw std::runtime_error("cannot read " + file);
  return pages;
}

bool sameFilled(const CorpusPage& page) { return std::memcmp(page.data(), page.data() + 8, kPage - 8) == 0; }

uint64_t uniqueLz4Bytes(const std::vector<CorpusPage>& pages) {
  std::unordered_set<uint64_t> seen;
  uint64_t sum = 0;
  char out[LZ4_COMPRESSBOUND(kPage)];
  for (const CorpusPage& page : pages) {
    if (sameFilled(page) || !seen.insert(XXH3_64bits(page.data(), kPage)).second) continue;
    const auto bytes = static_cast<uint64_t>(
        LZ4_compress_default(reinterpret_cast<const char*>(page.data()), out, kPage, sizeof out));
    sum += bytes < kPage ? bytes : kPage;
  }
  return sum;
}

}  // namespace

Corpus loadCorpus(const std::string& file) {
  Corpus corpus;
  corpus.pages = readPages(file);
  if (std::filesystem::exists(file + ".stubborn")) corpus.stubborn = readPages(file + ".stubborn");
  corpus.lz4Bytes = uniqueLz4Bytes(corpus.pages);
  return corpus;
}

}  // namespace tmemd::bench
