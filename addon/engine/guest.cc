#include "engine/guest.h"

namespace tmemd {

OperationCounters AtomicOperationCounters::read() const {
  OperationCounters out;
#define X(name) out.name = name.load(std::memory_order_relaxed);
  TMEMD_OPERATION_COUNTERS(X)
#undef X
  return out;
}

void keepHighest(std::atomic<uint64_t>& highest, uint64_t now) {
  uint64_t before = highest.load(std::memory_order_relaxed);
  while (now > before && !highest.compare_exchange_weak(before, now, std::memory_order_relaxed)) {
  }
}

void raise(std::atomic<uint64_t>& gauge, std::atomic<uint64_t>& highest) {
  keepHighest(highest, gauge.fetch_add(1, std::memory_order_relaxed) + 1);
}

Guest::Guest(const GuestOptions& options, SpanTable& table, const PageHash& hash, DedupGroup& dedupGroup,
             BinIds bins, uint32_t placeIndex)
    : place(placeIndex),
      name(options.name),
      group(dedupGroup),
      reservePages(options.persistentReservePages),
      numaNode(options.numaNode),
      weight(options.weight),
      capPages(options.capPages),
      limitPages(options.persistentLimitPages),
      frozen(options.frozen),
      pools(options.maxPools),
      dying(options.maxPools),
      persistentObjects(table, SpanKind::kObjects, sizeof(Object), offsetof(Object, check), bins.reserve, &objectQuota),
      persistentLeaves(table, SpanKind::kLeaves, sizeof(Leaf), offsetof(Leaf, nameCheck), bins.reserve, &leafQuota),
      ephemeralObjects(table, SpanKind::kObjects, sizeof(Object), offsetof(Object, check), bins.ephemeral, nullptr),
      ephemeralLeaves(table, SpanKind::kLeaves, sizeof(Leaf), offsetof(Leaf, nameCheck), bins.ephemeral, nullptr),
      map(
          table,
          [](const void* context, uint32_t pool, const uint64_t oid[3]) {
            return static_cast<const PageHash*>(context)->object(pool, oid);
          },
          &hash),
      reserveBin(table, bins.reserve, SpanKind::kReserve, &dataQuota),
      ephemeralBin(table, bins.ephemeral, SpanKind::kEphemeral, nullptr) {
  for (uint64_t id = 0; id < options.maxPools; id++) nextPoolId.push_back(id);
  group.guestCount++;
}

namespace {

void add(OperationCounters& sum, const Pool& pool) {
  OperationCounters one = pool.counters.read();
#define X(name) sum.name += one.name;
  TMEMD_OPERATION_COUNTERS(X)
#undef X
}

}  // namespace

void Guest::retirePools() {
  std::swap(pools, dying);
  for (uint64_t i = 0; i < nextPoolId.size(); i++) nextPoolId[i] = i;
}

void Guest::forgetDyingPools() {
  for (auto& pool : dying) {
    if (!pool) continue;
    add(destroyed, *pool);
    pool.reset();
  }
}

bool Guest::anyDyingObject() const {
  for (const auto& pool : dying) {
    if (pool && pool->counters.objects.load(std::memory_order_relaxed) > 0) return true;
  }
  return false;
}

OperationCounters Guest::counters() const {
  OperationCounters sum = destroyed;
  for (const auto* some : {&pools, &dying}) {
    for (const auto& pool : *some) {
      if (pool) add(sum, *pool);
    }
  }
  // The highest of a sum is not the sum of the highest.
  sum.pagesMax = pagesMax.load(std::memory_order_relaxed);
  sum.objectsMax = objectsMax.load(std::memory_order_relaxed);
  return sum;
}

Guest::~Guest() { group.guestCount--; }

Guest::ReserveFrames Guest::reserveFrames(uint64_t pages) {
  if (pages == 0) return {0, 0, 0};
  uint64_t most = pages + kPutsInFlight;
  auto frames = [&](uint64_t perFrame) { return (most + perFrame - 1) / perFrame; };
  return {frames(Bin::kWorstCaseBlocks), frames(CellSlab::cellsPerSpan(sizeof(Leaf))),
          frames(CellSlab::cellsPerSpan(sizeof(Object)))};
}

Refusal Guest::admits(bool persistent, uint64_t persistentAfter, uint64_t totalAfter) const {
  if (persistent && persistentAfter <= reservePages) return Refusal::kNone;
  if (frozen.load(std::memory_order_relaxed)) return Refusal::kFrozen;
  uint64_t limit = limitPages.load(std::memory_order_relaxed);
  if (persistent && limit && persistentAfter > limit) return Refusal::kLimit;
  uint64_t cap = capPages.load(std::memory_order_relaxed);
  if (cap && totalAfter > cap) return Refusal::kCap;
  return Refusal::kNone;
}

bool Guest::nearLimits(bool persistent) const {
  uint64_t held = persistentPages.load(std::memory_order_relaxed) + 1;
  uint64_t total = pages.load(std::memory_order_relaxed) + 1;
  uint64_t cap = capPages.load(std::memory_order_relaxed);
  return admits(persistent, held, total) != Refusal::kNone || (cap && total > cap);
}

}  // namespace tmemd
