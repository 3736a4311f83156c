// Puts that need no storage of their own, against the put floor of a unique page:
// same-filled pages, and duplicates in random order, each with its full compare, by how
// many neighbours one put takes.
#include <algorithm>
#include <array>
#include <span>

#include "trials.h"

namespace tmemd::bench {

void cheapPutTrial(const Corpus& corpus, Figures& out) {
  const auto& pages = corpus.pages;
  const size_t half = std::min<size_t>(pages.size() / 2, 60000);
  BenchStore bench(roomFor(pages.size()));
  for (size_t i = 0; i < half; i++) bench.put(i, pages[i]);
  const std::vector<uint32_t> order = shuffled(half, 3);
  Floor floor;
  const size_t chunks = half / kChunkPages;
  const auto floorPut = [&](size_t chunk) {
    for (size_t i = 0; i < kChunkPages; i++) floor.put(pages[half + chunk * kChunkPages + i]);
  };
  for (const size_t batch : {size_t{1}, size_t{kPutPagesMax}}) {
    Pairs same, duplicate;
    CorpusPage filled;
    std::array<const CorpusPage*, kPutPagesMax> neighbours;
    const auto put = [&](size_t first, auto pageOf) {
      for (size_t i = 0; i < kChunkPages; i += batch) {
        for (size_t k = 0; k < batch; k++) neighbours[k] = &pageOf(i + k);
        bench.putTogether(first + i, {neighbours.data(), batch});
      }
    };
    for (size_t c = 0; c < chunks; c++) {
      filled.fill(static_cast<std::byte>(c));
      same.run(c, kChunkPages, floorPut, [&](size_t chunk) {
        put(2 * half + chunk * kChunkPages, [&](size_t) -> const CorpusPage& { return filled; });
      });
      duplicate.run(c, kChunkPages, floorPut, [&](size_t chunk) {
        put(half + chunk * kChunkPages,
            [&](size_t i) -> const CorpusPage& { return pages[order[chunk * kChunkPages + i]]; });
      });
    }
    out.add("same_filled_put", same.result(), {{"batch", static_cast<double>(batch)}});
    out.add("duplicate_put", duplicate.result(), {{"batch", static_cast<double>(batch)}});
    out.add("duplicates_found_share",
            static_cast<double>(bench.store->counters().dedupSavedPages) / static_cast<double>(chunks * kChunkPages),
            {{"batch", static_cast<double>(batch)}});
    for (size_t i = half; i < 3 * half; i++) bench.store->flush(bench.context, bench.guest, BenchStore::key(i), 1);
  }
}

}  // namespace tmemd::bench
