// Ephemeral puts into a store that is full, so that every one evicts, against the
// same puts into one with room.
#include <algorithm>

#include "trials.h"

namespace tmemd::bench {

void evictTrial(const Corpus& corpus, Figures& out) {
  constexpr size_t kRoomyChunks = 64;
  const auto& pages = corpus.pages;
  const size_t count = std::min<size_t>(pages.size(), 60000);
  BenchStore full(std::max(Store::minimumCapacityBytes(),
                           static_cast<uint64_t>(corpus.meanLz4Bytes() * 0.5 * static_cast<double>(count))));
  BenchStore roomy(roomFor(count));
  for (size_t i = 0; i < count; i++) full.put(i, pages[i], kEphemeralPool);
  const uint64_t evictedBefore = full.store->counters().evictionsTotal;
  if (evictedBefore == 0) throw NotHere("the corpus is too small to fill the smallest store");
  Pairs pairs;
  for (size_t c = 0; c < count / kChunkPages; c++) {
    const auto putInto = [&](BenchStore& bench) {
      return [&](size_t chunk) {
        for (size_t i = chunk * kChunkPages; i < (chunk + 1) * kChunkPages; i++)
          bench.put(i, pages[i], kEphemeralPool);
      };
    };
    if (c >= kRoomyChunks) {
      roomy.store->flush(roomy.context, roomy.guest,
                         BenchStore::key((c - kRoomyChunks) * kChunkPages, kEphemeralPool), kChunkPages);
    }
    pairs.run(c, kChunkPages, putInto(roomy), putInto(full));
  }
  out.add("evicting_put", pairs.result());
  out.add("evicted_pages_a_put", static_cast<double>(full.store->counters().evictionsTotal - evictedBefore) /
                                     static_cast<double>(count / kChunkPages * kChunkPages));
}

}  // namespace tmemd::bench
