// Puts that need no storage of their own, against the put floor of a unique page:
// same-filled pages, and duplicates in random order, each with its full compare.
#include <algorithm>

#include "trials.h"

namespace tmemd::bench {

void cheapPutTrial(const Corpus& corpus, Figures& out) {
  const auto& pages = corpus.pages;
  const size_t half = std::min<size_t>(pages.size() / 2, 60000);
  BenchStore bench(roomFor(pages.size()));
  for (size_t i = 0; i < half; i++) bench.put(i, pages[i]);
  const std::vector<uint32_t> order = shuffled(half, 3);
  Floor floor;
  Pairs same, duplicate;
  CorpusPage filled;
  const size_t chunks = half / kChunkPages;
  for (size_t c = 0; c < chunks; c++) {
    const auto floorPut = [&](size_t chunk) {
      for (size_t i = 0; i < kChunkPages; i++) floor.put(pages[half + chunk * kChunkPages + i]);
    };
    filled.fill(static_cast<std::byte>(c));
    same.run(c, kChunkPages, floorPut, [&](size_t chunk) {
      for (size_t i = 0; i < kChunkPages; i++) bench.put(2 * half + chunk * kChunkPages + i, filled);
    });
    duplicate.run(c, kChunkPages, floorPut, [&](size_t chunk) {
      for (size_t i = 0; i < kChunkPages; i++)
        bench.put(half + chunk * kChunkPages + i, pages[order[chunk * kChunkPages + i]]);
    });
  }
  out.add("same_filled_put", same.result());
  out.add("duplicate_put", duplicate.result());
  out.add("duplicates_found_share", static_cast<double>(bench.store->counters().dedupSavedPages) /
                                        static_cast<double>(chunks * kChunkPages));
}

}  // namespace tmemd::bench
