// Memory over time, sampled as the store's own count and as what the process has
// resident beyond what it had before: the corpus is put, left alone, and then a
// random nine tenths of it is flushed. given_back_* is what is left ten seconds
// after that, as a share of the most that was resident.
#include <algorithm>
#include <random>
#include <thread>

#include "trials.h"

namespace tmemd::bench {

void timelineTrial(const Corpus& corpus, Figures& out) {
  constexpr int kRestSeconds = 3;
  constexpr int kAfterSeconds = 10;
  constexpr size_t kFillSamples = 10;
  const auto& pages = corpus.pages;
  const double residentBefore = residentBytes();
  BenchStore bench(roomFor(pages.size()));
  const double start = nowUs();
  double resident = 0;
  double peak = 0;
  const auto sample = [&] {
    const Point at{{"seconds", (nowUs() - start) / 1e6}};
    resident = residentBytes() - residentBefore;
    peak = std::max(peak, resident);
    out.add("timeline_used_bytes", bench.usedBytes(), at);
    out.add("timeline_resident_bytes", resident, at);
  };
  const auto watch = [&](int seconds) {
    for (int halves = 0; halves < seconds * 2; halves++) {
      std::this_thread::sleep_for(std::chrono::milliseconds(500));
      sample();
    }
  };
  sample();
  const size_t step = std::max<size_t>(1, pages.size() / kFillSamples);
  for (size_t i = 0; i < pages.size(); i++) {
    bench.put(i, pages[i]);
    if (i % step == step - 1) sample();
  }
  watch(kRestSeconds);
  std::mt19937_64 random(3);
  for (size_t i = 0; i < pages.size(); i++) {
    if (random() % 10 != 0) bench.store->flush(bench.context, bench.guest, BenchStore::key(i), 1);
  }
  sample();
  watch(kAfterSeconds);
  out.add("given_back_resident_share", resident / peak);
  out.add("given_back_used_share", bench.usedBytes() / peak);
}

}  // namespace tmemd::bench
