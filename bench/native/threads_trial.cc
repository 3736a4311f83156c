// Throughput of puts and gets together with a guest to each thread, by threads, as
// a multiple of what one thread does; up to the processors this process may use.
// Every guest works on a part of the corpus of its own.
#include <sched.h>

#include <algorithm>
#include <barrier>
#include <cstring>
#include <thread>

#include "trials.h"

namespace tmemd::bench {

namespace {

constexpr size_t kPagesMax = 30000;
constexpr int kRounds = 4;

size_t processors() {
  cpu_set_t set;
  sched_getaffinity(0, sizeof set, &set);
  return static_cast<size_t>(CPU_COUNT(&set));
}

// Wall time of all threads' work, microseconds; the first round of each is not counted.
double together(BenchStore& bench, const std::vector<GuestId>& guests, const std::vector<CorpusPage>& pages,
                size_t pagesEach) {
  double startUs = 0;
  std::barrier ready(static_cast<std::ptrdiff_t>(guests.size()), [&]() noexcept { startUs = nowUs(); });
  const auto work = [&](size_t number) {
    WorkerContext context;
    CorpusPage landing;
    for (int round = 0; round <= kRounds; round++) {
      if (round == 1) ready.arrive_and_wait();
      for (size_t i = 0; i < pagesEach; i++) {
        std::memcpy(context.page(), pages[number * pagesEach + i].data(), kPageBytes);
        bench.store->put(context, guests[number], BenchStore::key(i));
      }
      for (size_t i = 0; i < pagesEach; i++) {
        GetOp op;
        op.key = BenchStore::key((i * 7919) % pagesEach);
        op.out = landing.data();
        bench.store->get(context, guests[number], {&op, 1});
      }
    }
  };
  std::vector<std::thread> threads;
  for (size_t number = 0; number < guests.size(); number++) threads.emplace_back(work, number);
  for (std::thread& thread : threads) thread.join();
  return nowUs() - startUs;
}

}  // namespace

void threadsTrial(const Corpus& corpus, Figures& out) {
  const size_t most = processors();
  const size_t pagesEach = std::min(corpus.pages.size() / most, kPagesMax);
  BenchStore bench(roomFor(corpus.pages.size() * 2));
  std::vector<GuestId> guests;
  double alone = 0;
  for (size_t count = 1; count <= most; count++) {
    guests.push_back(bench.addGuest("guest" + std::to_string(count)));
    const double us = together(bench, guests, corpus.pages, pagesEach);
    if (count == 1) alone = us;
    const Point at{{"threads", static_cast<double>(count)}};
    out.add("threads_speedup", static_cast<double>(count) * alone / us, at);
    out.add("threads_op_us", us / (2.0 * kRounds * static_cast<double>(pagesEach * count)), at);
  }
}

}  // namespace tmemd::bench
