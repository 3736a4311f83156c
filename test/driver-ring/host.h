/*
 * The host behind the rings: a store that does what PROTOCOL.md says, or, as its policy has it, worse.
 */
#ifndef TMEMD_TEST_DRIVER_RING_HOST_H
#define TMEMD_TEST_DRIVER_RING_HOST_H

#include <compare>
#include <cstdint>
#include <map>

namespace driver_ring {

struct HostKey {
  uint32_t pool;
  uint64_t oid;
  uint32_t index;
  auto operator<=>(const HostKey &) const = default;
};

struct Host {
  /** Of 100 puts, how many are refused: also those it promised to take. */
  uint32_t refused_percent = 0;
  /** The next puts are refused, for a test that is not random. */
  uint32_t refuse_next = 0;
  /** The next refusals tell of more pages done than were asked about. */
  uint32_t overdo_next = 0;
  /** Of 100 requests of page queues, how many are answered after so many milliseconds only. */
  uint32_t stalled_percent = 0;
  uint32_t stall_ms = 0;
  /** Of 100 gets of an ephemeral page, how many miss though it was there. */
  uint32_t dropped_percent = 0;

  /** 0: none; no page is there then. */
  uint64_t session = 0;
  uint64_t sessions = 0;

  std::map<HostKey, uint64_t> pages;
  std::map<uint32_t, bool> persistent;
  uint32_t next_pool = 0;
  /** Requests of pages of a pool that is not there. */
  uint64_t poolless = 0;

  /** As an administrator has it, or another host. */
  void loseSession();
};

/** The host of the run; host_execute() of ring.h acts on it. */
extern Host *host;

}  // namespace driver_ring

#endif
