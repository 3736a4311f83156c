// Puts of pages that do not compress, against copy and hash alone: random bytes,
// and the corpus's own pages LZ4 leaves above 3800 bytes. And what giving up early
// costs on pages LZ4 can do something with: early_raw_loss_share of their bytes, in the
// corpus's order and, at after_raw 1, when each follows an incompressible one.
#include <algorithm>
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

// At least kChunks of them, in turns: pages that come again have changed by a word, so that
// none is a duplicate.
void measure(std::vector<CorpusPage> pages, const std::string& name, Figures& out) {
  constexpr size_t kWarmChunks = 4;
  constexpr size_t kChunks = 32;
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
  for (size_t turn = kWarmChunks; turn < kWarmChunks + std::max(chunks, kChunks); turn++) {
    const size_t c = turn % chunks;
    if (turn >= chunks) {
      for (size_t i = c * kChunkPages; i < (c + 1) * kChunkPages; i++) std::memcpy(&pages[i][2048], &turn, sizeof turn);
    }
    bench.store->flush(bench.context, bench.guest, BenchStore::key((turn - kWarmChunks) % chunks * kChunkPages),
                       kChunkPages);
    pairs.run(c, kChunkPages, copyAndHash, put);
  }
  out.add(name, pairs.result());
}

double lossOfGivingUp(const Corpus& corpus, bool afterRaw) {
  BenchStore bench(roomFor(corpus.pages.size()));
  const size_t between = corpus.pages.size();
  CorpusPage noise = randomPages(1)[0];
  for (size_t i = 0; i < corpus.pages.size(); i++) {
    if (afterRaw) {
      std::memcpy(noise.data(), &i, sizeof i);  // none is a duplicate
      bench.put(between, noise);
    }
    bench.put(i, corpus.pages[i]);
  }
  const uint64_t held = bench.store->counters().dataBytes - (afterRaw ? kPageBytes : 0);
  return static_cast<double>(held) / static_cast<double>(corpus.lz4Bytes) - 1;
}

}  // namespace

void stubbornTrial(const Corpus& corpus, Figures& out) {
  measure(randomPages(8192), "random_bytes_put", out);
  measure(corpus.stubborn, "stubborn_put", out);
  for (bool afterRaw : {false, true}) {
    out.add("early_raw_loss_share", lossOfGivingUp(corpus, afterRaw), {{"after_raw", afterRaw ? 1. : 0.}});
  }
}

}  // namespace tmemd::bench
