// What a page costs with that many held: replacing puts and gets at random places,
// and the memory it takes to find one. The corpus is put over and over, each page
// made different in 8 bytes, so that it has bytes of its own.
#include <algorithm>
#include <cstring>
#include <random>
#include <stdexcept>

#include "trials.h"

namespace tmemd::bench {

void scaleTrial(const Corpus& corpus, size_t pageCount, Figures& out) {
  constexpr size_t kBatches[] = {1, 16};
  constexpr size_t kPutChunks = 200;
  constexpr size_t kFloorPages = 20000;
  const auto& pages = corpus.pages;
  const Point at{{"held", static_cast<double>(pageCount)}};
  const uint64_t capacityBytes = static_cast<uint64_t>(static_cast<double>(pageCount) * (corpus.meanLz4Bytes() + 150)) +
                                 (uint64_t{256} << 20);
  requireMemory(capacityBytes);
  BenchStore bench(capacityBytes);
  const auto load = [&](size_t i) {
    std::memcpy(bench.context.page(), pages[i % pages.size()].data(), kPageBytes);
    std::memcpy(bench.context.page() + 2048, &i, sizeof i);
  };
  for (size_t i = 0; i < pageCount; i++) {
    load(i);
    if (bench.store->put(bench.context, bench.guest, BenchStore::key(i)) != Status::kOk)
      throw std::runtime_error("the store refused a put at " + std::to_string(i) + " pages held");
  }
  const StoreCounters counters = bench.store->counters();
  out.add("scale_metadata_bytes", static_cast<double>(counters.metadataBytes) / static_cast<double>(pageCount), at);
  out.add("scale_density", bench.usedBytes() / static_cast<double>(counters.dataBytes), at);
  const auto hugeShare = [&](const char* when) {
    const StoreCounters now = bench.store->counters();
    out.add(std::string("scale_huge_share_") + when, static_cast<double>(now.hugeBytes) / static_cast<double>(now.usedBytes), at);
  };
  hugeShare("put");

  std::mt19937_64 random(3);
  Floor floor;
  Pairs puts;
  for (size_t c = 0; c < kPutChunks; c++) {
    puts.run(
        c, kChunkPages,
        [&](size_t chunk) {
          for (size_t i = 0; i < kChunkPages; i++) floor.put(pages[(chunk * kChunkPages + i) % pages.size()]);
        },
        [&](size_t chunk) {
          for (size_t i = 0; i < kChunkPages; i++) {
            load(pageCount + chunk * kChunkPages + i);
            bench.store->put(bench.context, bench.guest, BenchStore::key(random() % pageCount));
          }
        });
  }
  out.add("scale_put", puts.result(), at);

  const size_t floorPages = std::min(pages.size(), kFloorPages);
  const CompressedCorpus compressed({pages.begin(), pages.begin() + static_cast<long>(floorPages)});
  Figures gets;
  hugeShare("replaced");
  measureGets(bench, compressed, floorPages, pageCount, kBatches, "scale_get", gets);
  out.addAt(gets, at);
  hugeShare("got");
}

}  // namespace tmemd::bench
