#include "bench_store.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <random>

namespace tmemd::bench {

BenchStore::BenchStore(uint64_t capacityBytes, BackgroundClock* clock) {
  StoreOptions options;
  options.capacityBytes = capacityBytes;
  options.backgroundClock = clock;
  store = std::make_unique<Store>(options);
  guest = addGuest("bench");
}

GuestId BenchStore::addGuest(const std::string& name) {
  GuestOptions options;
  options.name = name;
  const GuestId id = store->addGuest(options);
  store->reset(id);
  PoolId pool;
  store->createPool(id, true, &pool);
  store->createPool(id, false, &pool);
  return id;
}

Status BenchStore::put(size_t i, const CorpusPage& page, PoolId pool) {
  std::memcpy(context.page(), page.data(), kPageBytes);
  return store->put(context, guest, key(i, pool));
}

Status BenchStore::putTogether(size_t first, std::span<const CorpusPage* const> pages) {
  for (size_t k = 0; k < pages.size(); k++) std::memcpy(context.page(k), pages[k]->data(), kPageBytes);
  return store->put(context, guest, key(first), static_cast<uint32_t>(pages.size())).status;
}

void BenchStore::putAll(const std::vector<CorpusPage>& pages) {
  for (size_t i = 0; i < pages.size(); i++) put(i, pages[i]);
}

uint64_t roomFor(size_t pages) { return pages * kPageBytes + (64 << 20); }

std::vector<uint32_t> shuffled(size_t count, uint64_t seed) {
  std::vector<uint32_t> order(count);
  for (size_t i = 0; i < count; i++) order[i] = static_cast<uint32_t>(i);
  std::shuffle(order.begin(), order.end(), std::mt19937_64(seed));
  return order;
}

void requireMemory(uint64_t bytes) {
  std::ifstream in("/proc/meminfo");
  std::string word;
  uint64_t availableKib = 0;
  while (in >> word) {
    if (word == "MemAvailable:") in >> availableKib;
  }
  constexpr uint64_t kMib = 1 << 20;
  if (availableKib * 1024 < bytes)
    throw NotHere("it takes " + std::to_string(bytes / kMib) + " MiB of memory, available: " +
                  std::to_string(availableKib * 1024 / kMib) + " MiB");
}

double residentBytes() {
  std::ifstream in("/proc/self/smaps_rollup");
  std::string word;
  double kib = 0;
  while (in >> word) {
    if (word == "Rss:") in >> kib;
  }
  return kib * 1024;
}

}  // namespace tmemd::bench
