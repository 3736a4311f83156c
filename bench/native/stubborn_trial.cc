// Puts of pages that do not compress, against copy and hash alone: random bytes,
// and the corpus's own pages LZ4 leaves above 3800 bytes. And what giving up early
// costs on pages LZ4 can do something with: early_raw_loss_share of their bytes.
#include <cstring>
#include <random>

#include "trials.h"

namespace tmemd::bench {

namespace {

std::vector<CorpusPage> randomPages(size_t count) {
  std::vector<CorpusPage> pages(count);
  std::mt19937_64 random(1);
  for (CorpusPage& page : pages) {
    for (size_t at = 0; at < page.size(); at += 8) {
      const uint64_t word = random();
      std::memcpy(page.data() + at, &word, 8);
    }
  }
  return pages;
}

void measure(const std::vector<CorpusPage>& pages, const std::string& name, Figures& out) {
  constexpr size_t kWarmChunks = 4;
  const size_t chunks = pages.size() / kChunkPages;
  if (chunks <= kWarmChunks) return;
  BenchStore bench(roomFor(pages.size()));
  Floor floor;
  Pairs pairs;
  const auto copyAndHash = [&](size_t c) {
    for (size_t i = c * kChunkPages; i < (c + 1) * kChunkPages; i++) floor.copyAndHash(pages[i]);
  };
  const auto put = [&](size_t c) {
    for (size_t i = c * kChunkPages; i < (c + 1) * kChunkPages; i++) bench.put(i, pages[i]);
  };
  for (size_t c = 0; c < kWarmChunks; c++) put(c);
  for (size_t c = kWarmChunks; c < chunks; c++) {
    bench.store->flush(bench.context, bench.guest, BenchStore::key((c - kWarmChunks) * kChunkPages), kChunkPages);
    pairs.run(c, kChunkPages, copyAndHash, put);
  }
  out.add(name, pairs.result());
}

}  // namespace

void stubbornTrial(const Corpus& corpus, Figures& out) {
  measure(randomPages(8192), "random_bytes_put", out);
  measure(corpus.stubborn, "stubborn_put", out);
  BenchStore bench(roomFor(corpus.pages.size()));
  bench.putAll(corpus.pages);
  out.add("early_raw_loss_share",
          static_cast<double>(bench.store->counters().dataBytes) / static_cast<double>(corpus.lz4Bytes) - 1);
}

}  // namespace tmemd::bench
