#include "mock/load.h"

#include <linux/virtio_tmem.h>

#include <cstring>
#include <stdexcept>
#include <utility>

#include "mock/stream.h"

namespace tmemd::mock {

namespace {

constexpr uint32_t kPageBytes = 4096;
constexpr uint32_t kSlotBytes = 128;
constexpr uint32_t kResponseOffset = 64;

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
  StreamTimes times = stream(
      ring_, depth_, pages.size(), [&](uint32_t slot, size_t n) { return submit(slot, pages[n], kind); },
      [&](uint32_t slot, size_t n, const UsedEntry& used) {
        virtio_tmem_resp response;
        std::memcpy(&response, memory_.at(headers_ + uint64_t{slot} * kSlotBytes + kResponseOffset, sizeof response),
                    sizeof response);
        if (used.length < sizeof response || response.status >= result.byStatus.size())
          throw std::runtime_error("the device answered out of the protocol");
        ++result.byStatus[response.status];
        if (verify && response.status == VIRTIO_TMEM_S_OK &&
            std::memcmp(memory_.at(landing_ + uint64_t{slot} * kPageBytes, kPageBytes),
                        memory_.at(corpus_ + uint64_t{pages[n]} * kPageBytes, kPageBytes), kPageBytes) != 0)
          ++result.mismatches;
      });
  result.elapsedNs = times.elapsedNs;
  result.latencyNs = std::move(times.latencyNs);
  return result;
}

}  // namespace tmemd::mock
