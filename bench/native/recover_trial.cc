// How long a new process takes to recover the arena of one that was killed with that
// many pages held; until then no request is served. The dedup index is refilled later,
// in the background, and is not part of it.
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <stdexcept>

#include "trials.h"

namespace tmemd::bench {

namespace {

// Ends by SIGKILL, with every page put.
void holdAndDie(const Corpus& corpus, size_t pageCount, const StoreOptions& options) {
  Store store(options);
  GuestOptions guest;
  guest.name = "bench";
  const GuestId id = store.addGuest(guest);
  store.reset(id);
  PoolId pool;
  store.createPool(id, true, &pool);
  WorkerContext context;
  for (size_t i = 0; i < pageCount; i++) {
    std::memcpy(context.page(), corpus.pages[i % corpus.pages.size()].data(), kPageBytes);
    std::memcpy(context.page() + 2048, &i, sizeof i);
    if (store.put(context, id, BenchStore::key(i)) != Status::kOk) _exit(1);
  }
  kill(getpid(), SIGKILL);
}

}  // namespace

void recoverTrial(const Corpus& corpus, size_t pageCount, Figures& out) {
  StoreOptions options;
  options.capacityBytes = static_cast<uint64_t>(static_cast<double>(pageCount) * (corpus.meanLz4Bytes() + 150)) +
                          (uint64_t{256} << 20);
  requireMemory(options.capacityBytes);
  options.arenaFd = memfd_create("arena", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  const pid_t holder = fork();
  if (holder == 0) holdAndDie(corpus, pageCount, options);
  int status = 0;
  if (holder < 0 || waitpid(holder, &status, 0) != holder || !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
    throw std::runtime_error("the process that held " + std::to_string(pageCount) + " pages did not get that far");
  RecoveryReport report;
  const double start = nowUs();
  const double startThread = threadUs();
  const std::unique_ptr<Store> store = Store::recover(options.arenaFd, options, &report);
  const double took = nowUs() - start;
  const double tookThread = threadUs() - startThread;
  if (report.pages != pageCount || report.damagedPages != 0) throw std::runtime_error("pages were not recovered");
  const Point at{{"held", static_cast<double>(pageCount)}};
  out.add("recover_us", took, at);
  out.add("recover_cpu_us", tookThread, at);
  close(options.arenaFd);
}

}  // namespace tmemd::bench
