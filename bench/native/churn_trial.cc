// Density of a store that has lived: filled, dropped at random to 60 %, then put
// and flushed at random, 60 % of the keys held throughout, while the content
// shifts to another corpus. A page held under several keys is stored once, so the
// LZ4 bytes the density is against count it once.
#include <algorithm>
#include <random>
#include <thread>
#include <unordered_set>

#include "trials.h"

namespace tmemd::bench {

void churnTrial(const Corpus& corpus, const Corpus& later, size_t steps, Figures& out) {
  const size_t keys = std::min(corpus.pages.size(), later.pages.size());
  BenchStore bench(roomFor(keys));
  std::vector<const CorpusPage*> held(keys);
  for (size_t i = 0; i < keys; i++) {
    bench.put(i, corpus.pages[i]);
    held[i] = &corpus.pages[i];
  }
  Floor floor;
  const auto report = [&](const std::string& name, size_t afterSteps) {
    double lz4 = 0;
    std::unordered_set<const CorpusPage*> counted{nullptr};
    for (const CorpusPage* page : held) {
      if (counted.insert(page).second) lz4 += floor.put(*page);
    }
    const StoreCounters counters = bench.store->counters();
    const Point at = {{"steps", static_cast<double>(afterSteps)}};
    out.add(name, static_cast<double>(counters.usedBytes) / lz4, at);
    out.add(name + "_data", static_cast<double>(counters.dataBytes) / lz4, at);
    out.add(name + "_slack", static_cast<double>(counters.slackBytes) / lz4, at);
    out.add(name + "_metadata", static_cast<double>(counters.metadataBytes) / lz4, at);
  };
  const auto flush = [&](size_t i) {
    bench.store->flush(bench.context, bench.guest, BenchStore::key(i), 1);
    held[i] = nullptr;
  };
  std::mt19937_64 random(5);
  for (const uint32_t i : shuffled(keys, 9)) {
    if (random() % 10 < 4) flush(i);
  }
  report("churn_density", 0);
  const double start = threadUs();
  for (size_t step = 0; step < steps;) {
    const size_t i = random() % keys;
    if (held[i] != nullptr) {
      // Drawn 60 times in 100; a third of these are let off, so that flushes and puts balance.
      if (random() % 3 == 0) continue;
      flush(i);
    } else {
      const auto& source = random() % steps < step ? later.pages : corpus.pages;
      held[i] = &source[random() % source.size()];
      if (bench.put(i, *held[i]) != Status::kOk) held[i] = nullptr;
    }
    step++;
  }
  out.add("churn_step_us", (threadUs() - start) / static_cast<double>(steps));
  report("churn_density", steps);
  std::this_thread::sleep_for(std::chrono::seconds(5));
  report("churn_density_rested", steps);
}

}  // namespace tmemd::bench
