#include "mock/load.h"

#include <linux/virtio_tmem.h>

#include <chrono>
#include <cstring>
#include <stdexcept>

namespace tmemd::mock {

namespace {

using Clock = std::chrono::steady_clock;
constexpr uint32_t kPageBytes = 4096;
constexpr uint32_t kSlotBytes = 128;
constexpr uint32_t kResponseOffset = 64;
constexpr int kStallMs = 10'000;

uint64_t nanoseconds(Clock::duration elapsed) {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(elapsed).count());
}

}  // namespace

Load::Load(GuestMemory& memory, Ring& ring, size_t regionIndex, uint32_t depth, uint32_t pool,
           uint64_t corpusAddress)
    : memory_(memory), ring_(ring), depth_(depth), pool_(pool), corpus_(corpusAddress) {
  if (depth == 0 || depth * 3 > ring.layout().size)
    throw std::invalid_argument("depth must be 1 to a third of the ring's size");
  headers_ = memory.allocate(regionIndex, uint64_t{depth} * kSlotBytes, 64);
  landing_ = memory.allocate(regionIndex, uint64_t{depth} * kPageBytes, kPageBytes);
}

uint16_t Load::submit(uint32_t slot, uint32_t page, Kind kind) {
  virtio_tmem_req request{};
  request.op = kind == Kind::kPut   ? VIRTIO_TMEM_OP_PUT
               : kind == Kind::kGet ? VIRTIO_TMEM_OP_GET
                                    : VIRTIO_TMEM_OP_FLUSH;
  request.pool = pool_;
  request.oid[0] = page >> 10;
  request.index = page & 1023;
  request.nr_pages = 1;
  const uint64_t header = headers_ + uint64_t{slot} * kSlotBytes;
  std::memcpy(memory_.at(header, sizeof request), &request, sizeof request);

  std::array<Segment, 3> segments;
  size_t count = 0;
  segments[count++] = {header, sizeof request, false};
  if (kind == Kind::kPut) segments[count++] = {corpus_ + uint64_t{page} * kPageBytes, kPageBytes, false};
  segments[count++] = {header + kResponseOffset, sizeof(virtio_tmem_resp), true};
  if (kind == Kind::kGet) segments[count++] = {landing_ + uint64_t{slot} * kPageBytes, kPageBytes, true};
  const std::optional<uint16_t> head = ring_.add(std::span(segments.data(), count));
  if (!head) throw std::logic_error("the ring is in use by somebody else");
  return *head;
}

Load::Result Load::run(std::span<const uint32_t> pages, Kind kind, bool verify) {
  Result result;
  if (depth_ == 1) result.latencyNs.reserve(pages.size());
  std::vector<uint32_t> freeSlots;
  for (uint32_t slot = depth_; slot > 0; --slot) freeSlots.push_back(slot - 1);
  std::vector<uint32_t> slotOfHead(ring_.layout().size, 0);
  std::vector<uint32_t> pageOfSlot(depth_, 0);

  const Clock::time_point start = Clock::now();
  Clock::time_point submitted = start;
  size_t next = 0;
  size_t done = 0;
  while (done < pages.size()) {
    if (depth_ == 1) submitted = Clock::now();
    bool added = false;
    while (next < pages.size() && !freeSlots.empty()) {
      const uint32_t slot = freeSlots.back();
      freeSlots.pop_back();
      pageOfSlot[slot] = pages[next];
      slotOfHead[submit(slot, pages[next], kind)] = slot;
      ++next;
      added = true;
    }
    if (added && ring_.publish()) ring_.kick();
    if (!ring_.wait(kStallMs, false)) throw std::runtime_error("the device did not answer within 10 s");
    while (const std::optional<UsedEntry> used = ring_.take()) {
      const uint32_t slot = slotOfHead.at(used->head);
      virtio_tmem_resp response;
      std::memcpy(&response, memory_.at(headers_ + uint64_t{slot} * kSlotBytes + kResponseOffset, sizeof response),
                  sizeof response);
      if (used->length < sizeof response || response.status >= result.byStatus.size())
        throw std::runtime_error("the device answered out of the protocol");
      ++result.byStatus[response.status];
      if (verify && response.status == VIRTIO_TMEM_S_OK &&
          std::memcmp(memory_.at(landing_ + uint64_t{slot} * kPageBytes, kPageBytes),
                      memory_.at(corpus_ + uint64_t{pageOfSlot[slot]} * kPageBytes, kPageBytes), kPageBytes) != 0)
        ++result.mismatches;
      if (depth_ == 1) result.latencyNs.push_back(static_cast<uint32_t>(nanoseconds(Clock::now() - submitted)));
      freeSlots.push_back(slot);
      ++done;
    }
  }
  result.elapsedNs = nanoseconds(Clock::now() - start);
  return result;
}

}  // namespace tmemd::mock
