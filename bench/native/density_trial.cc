// All memory the store uses for the corpus, right after the last put, against the
// LZ4 bytes of its unique pages (raw ones whole, same-filled ones nothing).
#include "trials.h"

namespace tmemd::bench {

void densityTrial(const Corpus& corpus, Figures& out) {
  const auto pages = static_cast<double>(corpus.pages.size());
  const auto lz4 = static_cast<double>(corpus.lz4Bytes);
  BenchStore bench(roomFor(corpus.pages.size()));
  bench.putAll(corpus.pages);
  const StoreCounters counters = bench.store->counters();
  out.add("density", bench.usedBytes() / lz4);
  out.add("density_slack", static_cast<double>(counters.slackBytes) / lz4);
  out.add("lz4_bytes", lz4 / pages);
  out.add("used_bytes", bench.usedBytes() / pages);
  out.add("metadata_bytes", static_cast<double>(counters.metadataBytes) / pages);
}

}  // namespace tmemd::bench
