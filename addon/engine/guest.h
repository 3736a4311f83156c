// A guest: its session, pools, quotas, maps and bins.
//
// Everything not atomic is changed only with the guest's gate closed and its place's
// `reading` lock held: page operations, inside the gate, read it freely, and so do
// counters, which hold that lock and enter no gate.
//
// A pool that goes is first *dying*: no page operation finds it by its id any more, but
// its pages, which are dropped a few at a time with the gate open, still count there.
#ifndef TMEMD_ENGINE_GUEST_H_
#define TMEMD_ENGINE_GUEST_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/bin.h"
#include "engine/cell_slab.h"
#include "engine/codec.h"
#include "engine/counters.h"
#include "engine/page_map.h"
#include "engine/records.h"
#include "engine/store.h"

namespace tmemd {

struct AtomicOperationCounters {
#define X(name) std::atomic<uint64_t> name{0};
  TMEMD_OPERATION_COUNTERS(X)
#undef X
  OperationCounters read() const;
};

inline void bump(std::atomic<uint64_t>& counter, uint64_t by = 1) {
  counter.fetch_add(by, std::memory_order_relaxed);
}
inline void drop(std::atomic<uint64_t>& counter, uint64_t by = 1) {
  counter.fetch_sub(by, std::memory_order_relaxed);
}
void keepHighest(std::atomic<uint64_t>& highest, uint64_t now);
// Adds one to a gauge and keeps its highest value.
void raise(std::atomic<uint64_t>& gauge, std::atomic<uint64_t>& highest);

struct Pool {
  Pool(PoolId poolId, bool isPersistent) : id(poolId), persistent(isPersistent) {}
  const PoolId id;
  const bool persistent;
  AtomicOperationCounters counters;
};

// How far the draining of a group's sparse spans is: the settler's own, touched inside the gate of a member.
struct GroupDrain {
  uint64_t cycle = 0;      // 0: none under way. Every drain of the store has a number of its own
  Bin::Draining apart;     // for it
  uint32_t spansLeft = 0;  // of these, returned to use in the end
  uint64_t notBefore = 0;  // the round in which the next may begin
  uint32_t pauseRounds = 1;
  uint64_t deadBytesLeft = 0;  // by the last one
  // What was counted over its members in a round.
  uint64_t countedIn = 0;
  bool refilling = false;
  bool walking = false;
};

// Guests that share blocks, or a guest alone.
struct DedupGroup {
  DedupGroup(std::string groupName, uint64_t hashSalt, SpanTable& table, uint32_t binId)
      : name(std::move(groupName)), salt(hashSalt), bin(table, binId, SpanKind::kShared, nullptr) {}
  const std::string name;  // empty: one guest alone
  const uint64_t salt;
  Bin bin;
  uint32_t guestCount = 0;  // guarded by the store's control mutex
  GroupDrain drain;
};

enum class Refusal { kNone, kCapacity, kLimit, kCap, kFrozen };

struct Guest {
  // Pages whose puts may be in progress at once without a replacement in the reserve
  // having to wait for the page it replaces: of two threads, or more that put fewer together.
  static constexpr uint64_t kPutsInFlight = 16;
  static_assert(kPutsInFlight >= 2 * kPutPagesMax);
  // A page's entry, slot and share of leaf and object, for chargedBytes.
  static constexpr uint64_t kChargedMetadataBytes = 16;

  struct BinIds {
    uint32_t reserve;
    uint32_t ephemeral;
  };
  Guest(const GuestOptions& options, SpanTable& table, const PageHash& hash, DedupGroup& group, BinIds bins,
        uint32_t placeIndex);
  ~Guest();
  Guest(const Guest&) = delete;
  Guest& operator=(const Guest&) = delete;

  struct ReserveFrames {
    uint64_t data;
    uint64_t leaves;
    uint64_t objects;
    uint64_t total() const { return data + leaves + objects; }
  };
  // Frames that hold `pages` pages of any content under any keys.
  static ReserveFrames reserveFrames(uint64_t pages);

  Pool* pool(PoolId id) const {
    Pool* found = pools[id % pools.size()].get();
    return found && found->id == id ? found : nullptr;
  }
  Pool* dyingPool(PoolId id) const {
    Pool* found = dying[id % dying.size()].get();
    return found && found->id == id ? found : nullptr;
  }
  // Where an object's pages count. A dying pool's id is not given out again until it is gone.
  Pool* poolOf(const Object& object) const {
    Pool* found = pool(object.poolTag - 1);
    return found ? found : dyingPool(object.poolTag - 1);
  }
  // With the gate closed. All of them go:
  void retirePools();
  // What dying pools counted stays counted; they hold no page.
  void forgetDyingPools();
  bool anyDyingObject() const;
  PageMap::Slabs slabs(bool persistent) {
    return persistent ? PageMap::Slabs{persistentObjects, persistentLeaves}
                      : PageMap::Slabs{ephemeralObjects, ephemeralLeaves};
  }
  // Is a put that leaves the guest with so many pages allowed?
  Refusal admits(bool persistent, uint64_t persistentAfter, uint64_t totalAfter) const;
  // Would some put have to be looked at closely?
  bool nearLimits(bool persistent) const;
  uint64_t ephemeralSpans() const {
    return ephemeralBin.spanCount() + ephemeralObjects.spanCount() + ephemeralLeaves.spanCount();
  }
  uint64_t cellSpans() const {
    return persistentObjects.spanCount() + persistentLeaves.spanCount() + ephemeralObjects.spanCount() +
           ephemeralLeaves.spanCount();
  }
  uint64_t cellMetadataBytes() const {
    return persistentObjects.metadataBytes() + persistentLeaves.metadataBytes() + ephemeralObjects.metadataBytes() +
           ephemeralLeaves.metadataBytes();
  }
  bool reserveHasRoom() const {
    return reservePages > 0 && reserveBin.liveBlocks() < reservePages + kPutsInFlight;
  }
  // Pools that are dying or gone included. Takes some 100 ns a pool, under the place's `reading` lock: with the
  // 64 that are the most by default a few microseconds, with 65,535 some milliseconds.
  OperationCounters counters() const;
  static uint64_t chargeFor(uint32_t lengthBytes) { return unitsFor(lengthBytes) * 8 + kChargedMetadataBytes; }

  const uint32_t place;  // among the store's guests
  const std::string name;
  DedupGroup& group;
  const uint64_t reservePages;
  const int numaNode;

  std::atomic<uint32_t> weight;
  std::atomic<uint64_t> capPages;
  std::atomic<uint64_t> limitPages;
  std::atomic<bool> frozen;

  GuestRecords::Handle record;
  uint64_t sessionId = 0;  // 0: none open
  uint16_t epoch = 0;      // of the session: see GuestSettings
  std::vector<std::unique_ptr<Pool>> pools;  // by id modulo maxPools
  std::vector<std::unique_ptr<Pool>> dying;  // the same
  std::vector<uint64_t> nextPoolId;          // for each place
  OperationCounters destroyed{};             // totals of pools that are gone

  std::atomic<uint64_t>& pagesOf(bool persistent) { return persistent ? persistentPages : ephemeralPages; }

  std::atomic<uint64_t> persistentPages{0};
  std::atomic<uint64_t> ephemeralPages{0};
  std::atomic<uint64_t> chargedBytes{0};
  std::atomic<uint64_t> pages{0};  // both kinds
  std::atomic<uint64_t> pagesMax{0};
  std::atomic<uint64_t> objects{0};
  std::atomic<uint64_t> objectsMax{0};
  std::atomic<uint64_t> evictionAttempts{0};
  std::atomic<uint64_t> corruptFound{0};

  FrameQuota dataQuota;
  FrameQuota leafQuota;
  FrameQuota objectQuota;

  CellSlab persistentObjects;
  CellSlab persistentLeaves;
  CellSlab ephemeralObjects;
  CellSlab ephemeralLeaves;
  PageMap map;
  Bin reserveBin;
  Bin ephemeralBin;
};

}  // namespace tmemd

#endif  // TMEMD_ENGINE_GUEST_H_
