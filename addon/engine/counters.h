// Every counter the engine keeps, listed once. The N-API layer turns these
// lists into JavaScript objects with the same names, so a new counter is one
// line here and one in src/native/counters.ts.
//
// Names: *Total only grows; *Bytes and *Pages are sizes; others are numbers
// held now. Puts: good + refused* = total. Gets: found + missed + corrupt = total.
#ifndef TMEMD_ENGINE_COUNTERS_H_
#define TMEMD_ENGINE_COUNTERS_H_

#include <cstdint>

namespace tmemd {

// Kept per pool and summed per guest (destroyed pools included in the sums).
#define TMEMD_OPERATION_COUNTERS(X)                                            \
  X(putsTotal)              /* valid puts, a page each */                      \
  X(putsGoodTotal)                                                             \
  X(putsRefusedCapacityTotal)                                                  \
  X(putsRefusedLimitTotal)  /* persistent limit */                             \
  X(putsRefusedCapTotal)    /* the guest's cap */                              \
  X(putsRefusedFrozenTotal)                                                    \
  X(putsReplacedTotal)      /* key held a page: replaced by a good put */      \
  X(putsDroppedTotal)       /* key held a page: dropped by a refused put */    \
  X(getsTotal)                                                                 \
  X(getsFoundTotal)                                                            \
  X(getsMissedTotal)                                                           \
  X(getsCorruptTotal)                                                          \
  X(flushesTotal)           /* pages asked to be flushed one request at a time: requests */ \
  X(flushesFoundTotal)      /* pages that were there */                        \
  X(objectFlushesTotal)                                                        \
  X(objectFlushesFoundTotal)                                                   \
  X(evictedTotal)           /* ephemeral pages dropped for room */             \
  X(pages)                  /* held now */                                     \
  X(pagesMax)                                                                  \
  X(objects)                                                                   \
  X(objectsMax)                                                                \
  X(sameFilledPages)        /* of pages: kept as a value */                    \
  X(sharedPages)            /* of pages: a reference to another key's bytes */ \
  X(compressedPages)        /* of pages: the first to store its bytes, LZ4 or better */ \
  X(rawPages)               /* of pages: the first to store its bytes, as they are */ \
  X(damagedPages)           /* of pages: found damaged by a recovery, so CORRUPT */

struct OperationCounters {
#define X(name) uint64_t name = 0;
  TMEMD_OPERATION_COUNTERS(X)
#undef X
};

struct PoolCounters {
  uint32_t pool = 0;
  bool persistent = false;
  OperationCounters operations;
};

#define TMEMD_GUEST_GAUGES(X)                                                  \
  X(persistentPages)                                                           \
  X(ephemeralPages)                                                            \
  X(chargedBytes)           /* what this guest's pages would cost stored alone */ \
  X(weight)                                                                    \
  X(capPages)                                                                  \
  X(persistentReservePages)                                                    \
  X(persistentLimitPages)                                                      \
  X(frozen)                                                                    \
  X(pools)

struct GuestCounters {
  OperationCounters operations;
#define X(name) uint64_t name = 0;
  TMEMD_GUEST_GAUGES(X)
#undef X
};

// usedBytes = dataBytes + slackBytes + metadataBytes <= capacityBytes.
#define TMEMD_STORE_GAUGES(X)                                                  \
  X(capacityBytes)                                                             \
  X(usedBytes)                                                                 \
  X(dataBytes)              /* compressed and raw page bytes, once each */     \
  X(slackBytes)             /* rounding, free slots of open spans, pre-touched memory */ \
  X(metadataBytes)                                                             \
  X(hugeBytes)              /* of usedBytes, in huge pages */                  \
  X(reservedBytes)          /* set aside for reserves, used or not */          \
  X(logicalBytes)           /* pages held x 4096, before any saving */         \
  X(lz4Pages)                                                                  \
  X(rawPages)                                                                  \
  X(sameFilledPages)                                                           \
  X(dedupSavedPages)        /* references beyond the first */                  \
  X(dedupSavedBytes)                                                           \
  X(sameFilledSavedBytes)                                                      \
  X(evictionsTotal)         /* pages */                                        \
  X(evictionAttemptsTotal)                                                     \
  X(corruptTotal)

struct StoreCounters {
#define X(name) uint64_t name = 0;
  TMEMD_STORE_GAUGES(X)
#undef X
};

}  // namespace tmemd

#endif  // TMEMD_ENGINE_COUNTERS_H_
