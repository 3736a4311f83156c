// What background settling reaches and what it does to gets: everything
// recompressed harder with LZ4, then everything coldest. With `cold_share` of the
// pages coldest the density lies between the two in proportion.
#include "trials.h"

namespace tmemd::bench {

void settleTrial(const Corpus& corpus, Figures& out) {
  constexpr size_t kBatches[] = {1, 16};
  constexpr uint16_t kNever = 0xffff;
  constexpr double kColdShare = 0.8;
  const auto& pages = corpus.pages;
  const auto lz4 = static_cast<double>(corpus.lz4Bytes);
  BenchStore bench(roomFor(pages.size()));
  bench.putAll(pages);
  const CompressedCorpus compressed(pages);
  const auto gets = [&](const char* name) {
    measureGets(bench, compressed, pages.size(), pages.size(), kBatches, name, out);
  };
  gets("get_unsettled");
  const double start = nowUs();
  settleNow(*bench.store, 0, kNever);
  out.add("settle_hard_us", (nowUs() - start) / static_cast<double>(pages.size()));
  const double hard = bench.usedBytes() / lz4;
  out.add("density_settled", hard, {{"cold_share", 0}});
  gets("get_settled_hard");
  settleNow(*bench.store, 0, 0);
  const double coldest = bench.usedBytes() / lz4;
  out.add("density_settled", (1 - kColdShare) * hard + kColdShare * coldest, {{"cold_share", kColdShare}});
  out.add("density_settled", coldest, {{"cold_share", 1}});
  gets("get_settled_coldest");
}

}  // namespace tmemd::bench
