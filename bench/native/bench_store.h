// The store a trial measures: one guest, a pool of each kind, one thread's
// context, settling on as it is by default.
#ifndef TMEMD_BENCH_NATIVE_BENCH_STORE_H_
#define TMEMD_BENCH_NATIVE_BENCH_STORE_H_

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <span>
#include <vector>

#include "corpus.h"
#include "engine/store.h"

namespace tmemd::bench {

// Pages between two turns of the floor.
inline constexpr size_t kChunkPages = 256;

inline constexpr PoolId kPersistentPool = 0;
inline constexpr PoolId kEphemeralPool = 1;

struct BenchStore {
  // With a clock for the background to go by; null: the machine's.
  explicit BenchStore(uint64_t capacityBytes, BackgroundClock* clock = nullptr);

  GuestId addGuest(const std::string& name);

  // As a swap device names its pages: 1024 to an object.
  static PageKey key(size_t i, PoolId pool = kPersistentPool) {
    return {pool, {{0, i >> 10, 0}}, static_cast<uint32_t>(i & 1023)};
  }
  Status put(size_t i, const CorpusPage& page, PoolId pool = kPersistentPool);
  // Neighbours in one put: page k is pages[k], at most kPutPagesMax.
  Status putTogether(size_t first, std::span<const CorpusPage* const> pages);
  // Every page under the key of its number.
  void putAll(const std::vector<CorpusPage>& pages);

  double usedBytes() const { return static_cast<double>(store->counters().usedBytes); }

  std::unique_ptr<Store> store;
  GuestId guest{};
  WorkerContext context;
};

// A capacity that takes that many pages of any content.
uint64_t roomFor(size_t pages);

// 0 to count - 1 in an order that depends on the seed alone.
std::vector<uint32_t> shuffled(size_t count, uint64_t seed);

// Of this process.
double residentBytes();

// This machine cannot do a trial; what() says why.
class NotHere : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Throws NotHere unless the machine has so much memory available.
void requireMemory(uint64_t bytes);

}  // namespace tmemd::bench

#endif  // TMEMD_BENCH_NATIVE_BENCH_STORE_H_
