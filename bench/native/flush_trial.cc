// One FLUSH_OBJECT of an object of very many pages, reclaim included, and how
// long another guest's gets take meanwhile.
#include <atomic>
#include <cstring>
#include <thread>

#include "trials.h"

namespace tmemd::bench {

namespace {
constexpr ObjectId kObject{{1, 0, 0}};
constexpr size_t kOtherPages = 4096;
}  // namespace

void flushTrial(const Corpus& corpus, size_t pageCount, Figures& out) {
  const auto& pages = corpus.pages;
  requireMemory(static_cast<uint64_t>(corpus.meanLz4Bytes() * 1.2 * static_cast<double>(pageCount)));
  BenchStore bench(roomFor(pageCount) + roomFor(kOtherPages));
  for (size_t i = 0; i < pageCount; i++) {
    // Different in 8 bytes, so that each has bytes of its own.
    std::memcpy(bench.context.page(), pages[i % pages.size()].data(), kPageBytes);
    std::memcpy(bench.context.page() + 2048, &i, sizeof i);
    bench.store->put(bench.context, bench.guest, {kPersistentPool, kObject, static_cast<uint32_t>(i)});
  }
  const GuestId other = bench.addGuest("other");
  for (size_t i = 0; i < kOtherPages; i++) {
    std::memcpy(bench.context.page(), pages[i % pages.size()].data(), kPageBytes);
    bench.store->put(bench.context, other, BenchStore::key(i));
  }

  std::atomic<int> phase{0};  // 0: the store is quiet, 1: being flushed, 2: over
  std::vector<double> quietUs, disturbedUs;
  std::thread reader([&] {
    WorkerContext context;
    CorpusPage landing;
    for (size_t i = 0; phase != 2; i = (i + 7919) % kOtherPages) {
      std::vector<double>& into = phase == 0 ? quietUs : disturbedUs;
      GetOp op;
      op.key = BenchStore::key(i);
      op.out = landing.data();
      const double start = nowUs();
      bench.store->get(context, other, {&op, 1});
      into.push_back(nowUs() - start);
    }
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  phase = 1;
  const double start = threadUs();
  bench.store->flushObject(bench.context, bench.guest, kPersistentPool, kObject);
  const double flushUs = threadUs() - start;
  phase = 2;
  reader.join();
  out.add("flush_object_ns", flushUs * 1000 / static_cast<double>(pageCount),
          {{"object_pages", static_cast<double>(pageCount)}});
  out.add("others_get_p99_us", quantile(quietUs, 0.99), {{"during_flush", 0}});
  // A flush so short that no get fell into it disturbed none.
  if (!disturbedUs.empty()) out.add("others_get_p99_us", quantile(disturbedUs, 0.99), {{"during_flush", 1}});
}

}  // namespace tmemd::bench
