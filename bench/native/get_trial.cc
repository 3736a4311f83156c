// Gets in random order, by batch size, against LZ4's decoder in the same order.
#include <algorithm>

#include "trials.h"

namespace tmemd::bench {

namespace {
constexpr size_t kBatchMax = 64;
constexpr size_t kChunksMax = 1500;
}  // namespace

void measureGets(BenchStore& bench, const CompressedCorpus& compressed, size_t pages, size_t keys,
                 std::span<const size_t> batches, const std::string& name, Figures& out) {
  const std::vector<uint32_t> order = shuffled(keys, 7);
  const size_t chunks = std::min(keys / kChunkPages, kChunksMax);
  static CorpusPage landing[kBatchMax];
  for (const size_t batch : batches) {
    Pairs pairs;
    for (size_t c = 0; c < chunks; c++) {
      const uint32_t* mine = order.data() + c * kChunkPages;
      pairs.run(
          c, kChunkPages,
          [&](size_t) {
            for (size_t i = 0; i < kChunkPages; i++) compressed.get(mine[i] % pages, landing[i % batch].data());
          },
          [&](size_t) {
            GetOp ops[kBatchMax];
            for (size_t i = 0; i < kChunkPages; i += batch) {
              for (size_t k = 0; k < batch; k++) {
                ops[k].key = BenchStore::key(mine[i + k]);
                ops[k].out = landing[k].data();
              }
              bench.store->get(bench.context, bench.guest, {ops, batch});
            }
          });
    }
    out.add(name, pairs.result(), {{"batch", static_cast<double>(batch)}});
  }
}

void getTrial(const Corpus& corpus, Figures& out) {
  constexpr size_t kBatches[] = {1, 2, 4, 8, 16, 32, kBatchMax};
  BenchStore bench(roomFor(corpus.pages.size()));
  bench.putAll(corpus.pages);
  const CompressedCorpus compressed(corpus.pages);
  measureGets(bench, compressed, corpus.pages.size(), corpus.pages.size(), kBatches, "get", out);
}

}  // namespace tmemd::bench
