// What a device counts: written by its worker, read by anyone.
#ifndef TMEMD_DEVICE_DEVICE_COUNTERS_H_
#define TMEMD_DEVICE_DEVICE_COUNTERS_H_

#include <array>

#include "device/latency_histogram.h"

namespace tmemd {

// The N-API layer makes an object with these names; see DeviceCounters in
// src/native/addon.ts.
#define TMEMD_DEVICE_COUNTERS(X)                                \
  X(requestsTotal)     /* chains completed */                   \
  X(badRequestsTotal)  /* of these: answered BAD_REQUEST */     \
  X(brokenChainsTotal) /* of these: too broken to answer */     \
  X(kicksTotal)        /* wake-ups by a guest's notification */ \
  X(interruptsTotal)   /* notifications sent to the guest */

#define TMEMD_LATENCY_OPS(X) X(put) X(get) X(flush) X(flush_object) X(control)

enum class LatencyOp : size_t {
#define X(name) name,
  TMEMD_LATENCY_OPS(X)
#undef X
};

struct DeviceCounters {
#define X(name) OwnedCounter name;
  TMEMD_DEVICE_COUNTERS(X)
#undef X
#define X(name) +1
  // From taking a request off its ring to its completion, a chain each.
  std::array<LatencyHistogram, 0 TMEMD_LATENCY_OPS(X)> latency;
#undef X

  LatencyHistogram& latencyOf(LatencyOp op) { return latency[static_cast<size_t>(op)]; }
};

}  // namespace tmemd

#endif  // TMEMD_DEVICE_DEVICE_COUNTERS_H_
