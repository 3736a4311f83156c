// A stream of small requests with a fixed number in flight, as fast as a device
// serves them: the loop of every load, whatever the device.
#ifndef TMEMD_TEST_MOCK_STREAM_H_
#define TMEMD_TEST_MOCK_STREAM_H_

#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "mock/ring.h"

namespace tmemd::mock {

struct StreamTimes {
  uint64_t elapsedNs = 0;           // first submission to last completion
  std::vector<uint32_t> latencyNs;  // per request, at depth 1 only
};

// Calls submit(slot, n), which adds request n and returns its chain's head, for each n below `count`, and
// done(slot, n, used) as it comes back. Slots are 0 to depth - 1.
template <typename Submit, typename Done>
StreamTimes stream(Ring& ring, uint32_t depth, size_t count, Submit submit, Done done) {
  using Clock = std::chrono::steady_clock;
  constexpr int kStallMs = 60'000;
  const auto nanoseconds = [](Clock::duration elapsed) {
    return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(elapsed).count());
  };
  StreamTimes times;
  if (depth == 1) times.latencyNs.reserve(count);
  std::vector<uint32_t> freeSlots;
  for (uint32_t slot = depth; slot > 0; --slot) freeSlots.push_back(slot - 1);
  std::vector<uint32_t> slotOfHead(ring.layout().size, 0);
  std::vector<size_t> requestOfSlot(depth, 0);

  const Clock::time_point start = Clock::now();
  Clock::time_point submitted = start;
  size_t next = 0;
  size_t finished = 0;
  while (finished < count) {
    if (depth == 1) submitted = Clock::now();
    bool added = false;
    while (next < count && !freeSlots.empty()) {
      const uint32_t slot = freeSlots.back();
      freeSlots.pop_back();
      requestOfSlot[slot] = next;
      slotOfHead[submit(slot, next)] = slot;
      ++next;
      added = true;
    }
    if (added && ring.publish()) ring.kick();
    if (!ring.wait(kStallMs, false)) throw std::runtime_error("the device did not answer within a minute");
    while (const std::optional<UsedEntry> used = ring.take()) {
      const uint32_t slot = slotOfHead.at(used->head);
      done(slot, requestOfSlot[slot], *used);
      if (depth == 1) times.latencyNs.push_back(static_cast<uint32_t>(nanoseconds(Clock::now() - submitted)));
      freeSlots.push_back(slot);
      ++finished;
    }
  }
  times.elapsedNs = nanoseconds(Clock::now() - start);
  return times;
}

}  // namespace tmemd::mock

#endif  // TMEMD_TEST_MOCK_STREAM_H_
