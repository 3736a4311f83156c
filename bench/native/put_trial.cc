// Puts of unique compressible pages: into an arena that grows, and into one that
// has the memory already because pages come and go, by how many neighbours one put takes.
#include <algorithm>
#include <array>

#include "trials.h"

namespace tmemd::bench {

void putTrial(const Corpus& corpus, Figures& out) {
  const auto& pages = corpus.pages;
  const size_t chunks = pages.size() / kChunkPages;
  const size_t warmChunks = std::min<size_t>(chunks / 2, 64);
  Floor floor;
  const auto floorPut = [&](size_t c) {
    for (size_t i = c * kChunkPages; i < (c + 1) * kChunkPages; i++) floor.put(pages[i]);
  };
  {
    BenchStore bench(roomFor(pages.size()));
    const auto put = [&](size_t c) {
      for (size_t i = c * kChunkPages; i < (c + 1) * kChunkPages; i++) bench.put(i, pages[i]);
    };
    Pairs pairs;
    for (size_t c = 0; c < chunks; c++) pairs.run(c, kChunkPages, floorPut, put);
    out.add("put_growing", pairs.result());
  }
  for (const size_t batch : {size_t{1}, size_t{kPutPagesMax}}) {
    BenchStore bench(roomFor(pages.size()));
    const auto put = [&](size_t c) {
      std::array<const CorpusPage*, kPutPagesMax> neighbours;
      for (size_t i = c * kChunkPages; i < (c + 1) * kChunkPages; i += batch) {
        for (size_t k = 0; k < batch; k++) neighbours[k] = &pages[i + k];
        bench.putTogether(i, {neighbours.data(), batch});
      }
    };
    for (size_t c = 0; c < warmChunks; c++) put(c);
    Pairs pairs;
    for (size_t c = warmChunks; c < chunks; c++) {
      bench.store->flush(bench.context, bench.guest, BenchStore::key((c - warmChunks) * kChunkPages), kChunkPages);
      pairs.run(c, kChunkPages, floorPut, put);
    }
    out.add("put_warm", pairs.result(), {{"batch", static_cast<double>(batch)}});
  }
}

}  // namespace tmemd::bench
