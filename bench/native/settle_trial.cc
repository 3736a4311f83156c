// What background settling reaches and what it does to gets. The background thread does what it
// does in a service, slice by slice, but does not wait between them: its clock runs fast. All pages are left
// alone for four minutes, which is long enough for LZ4HC and too short for zstd. Then one page in each of
// every fifth leaf is got now and then, so that a fifth of the pages stays warm, for a quarter of an hour; in
// the end all are left alone for another.
#include "native/fast_clock.h"
#include "trials.h"

namespace tmemd::bench {

void settleTrial(const Corpus& corpus, Figures& out) {
  constexpr size_t kBatches[] = {1, 16};
  constexpr size_t kLeafPages = 64;
  constexpr size_t kLeavesOfOneWarm = 5;
  constexpr std::chrono::minutes kHardWithin{4};
  constexpr std::chrono::seconds kTouchEvery{20};
  constexpr std::chrono::minutes kColdWithin{15};
  const auto& pages = corpus.pages;
  const auto lz4 = static_cast<double>(corpus.lz4Bytes);
  FastClock clock;
  BenchStore bench(roomFor(pages.size()), &clock);
  bench.putAll(pages);
  const CompressedCorpus compressed(pages);
  const auto gets = [&](const char* name) {
    measureGets(bench, compressed, pages.size(), pages.size(), kBatches, name, out);
  };
  const auto usedUs = [&] { return std::chrono::duration<double, std::micro>(clock.used()).count(); };
  const auto report = [&](double coldShare) {
    out.add("density_settled", bench.usedBytes() / lz4, {{"cold_share", coldShare}});
  };
  gets("get_unsettled");
  const double start = usedUs();
  clock.pass(kHardWithin);
  out.add("settle_hard_us", (usedUs() - start) / static_cast<double>(pages.size()));
  report(0);
  gets("get_settled_hard");
  for (std::chrono::seconds passed{0}; passed < kColdWithin; passed += kTouchEvery) {
    for (size_t i = 0; i < pages.size(); i += kLeafPages * kLeavesOfOneWarm) {
      CorpusPage landing;
      GetOp op;
      op.key = BenchStore::key(i);
      op.out = landing.data();
      bench.store->get(bench.context, bench.guest, {&op, 1});
    }
    clock.pass(kTouchEvery);
  }
  report(1 - 1.0 / kLeavesOfOneWarm);
  clock.pass(kColdWithin);
  report(1);
  gets("get_settled_coldest");
  // As long again, with nothing left to do.
  const double settled = usedUs();
  clock.pass(kColdWithin);
  out.add("settled_processor_share",
          (usedUs() - settled) / std::chrono::duration<double, std::micro>(kColdWithin).count());
}

}  // namespace tmemd::bench
