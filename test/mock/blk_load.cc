#include "mock/blk_load.h"

#include <linux/virtio_blk.h>

#include <cstring>
#include <stdexcept>
#include <utility>

#include "mock/stream.h"

namespace tmemd::mock {

namespace {

constexpr uint32_t kPageBytes = 4096;
constexpr uint32_t kPageSectors = kPageBytes / 512;
constexpr uint32_t kSlotBytes = 64;
constexpr uint32_t kRangeOffset = 16;
constexpr uint32_t kStatusOffset = 32;

static_assert(sizeof(virtio_blk_outhdr) == kRangeOffset);
static_assert(sizeof(virtio_blk_discard_write_zeroes) == kStatusOffset - kRangeOffset);

}  // namespace

BlkLoad::BlkLoad(GuestMemory& memory, Ring& ring, size_t regionIndex, uint32_t depth, uint64_t corpusAddress)
    : memory_(memory), ring_(ring), depth_(depth), corpus_(corpusAddress) {
  if (depth == 0 || depth * 3 > ring.layout().size)
    throw std::invalid_argument("depth must be 1 to a third of the ring's size");
  headers_ = memory.allocate(regionIndex, uint64_t{depth} * kSlotBytes, 64);
  landing_ = memory.allocate(regionIndex, uint64_t{depth} * kPageBytes, kPageBytes);
}

BlkLoad::Result BlkLoad::write(std::span<const uint32_t> pages) { return run(pages, VIRTIO_BLK_T_OUT, false); }
BlkLoad::Result BlkLoad::read(std::span<const uint32_t> pages, bool verify) {
  return run(pages, VIRTIO_BLK_T_IN, verify);
}
BlkLoad::Result BlkLoad::discard(std::span<const uint32_t> pages) {
  return run(pages, VIRTIO_BLK_T_DISCARD, false);
}

uint16_t BlkLoad::submit(uint32_t slot, uint32_t page, uint32_t type) {
  const uint64_t sector = uint64_t{page} * kPageSectors;
  virtio_blk_outhdr request{};
  request.type = type;
  request.sector = type == VIRTIO_BLK_T_DISCARD ? 0 : sector;
  const uint64_t header = headers_ + uint64_t{slot} * kSlotBytes;
  std::memcpy(memory_.at(header, sizeof request), &request, sizeof request);

  std::array<Segment, 3> segments;
  size_t count = 0;
  segments[count++] = {header, sizeof request, false};
  if (type == VIRTIO_BLK_T_OUT) {
    segments[count++] = {corpus_ + uint64_t{page} * kPageBytes, kPageBytes, false};
  } else if (type == VIRTIO_BLK_T_IN) {
    segments[count++] = {landing_ + uint64_t{slot} * kPageBytes, kPageBytes, true};
  } else {
    virtio_blk_discard_write_zeroes range{};
    range.sector = sector;
    range.num_sectors = kPageSectors;
    std::memcpy(memory_.at(header + kRangeOffset, sizeof range), &range, sizeof range);
    segments[count++] = {header + kRangeOffset, sizeof range, false};
  }
  segments[count++] = {header + kStatusOffset, 1, true};
  const std::optional<uint16_t> head = ring_.add(std::span(segments.data(), count));
  if (!head) throw std::logic_error("the ring is in use by somebody else");
  return *head;
}

BlkLoad::Result BlkLoad::run(std::span<const uint32_t> pages, uint32_t type, bool verify) {
  Result result;
  StreamTimes times = stream(
      ring_, depth_, pages.size(), [&](uint32_t slot, size_t n) { return submit(slot, pages[n], type); },
      [&](uint32_t slot, size_t n, const UsedEntry&) {
        const auto status = static_cast<uint8_t>(*memory_.at(headers_ + uint64_t{slot} * kSlotBytes + kStatusOffset, 1));
        if (status >= result.byStatus.size()) throw std::runtime_error("the device answered out of the protocol");
        ++result.byStatus[status];
        if (verify && status == VIRTIO_BLK_S_OK &&
            std::memcmp(memory_.at(landing_ + uint64_t{slot} * kPageBytes, kPageBytes),
                        memory_.at(corpus_ + uint64_t{pages[n]} * kPageBytes, kPageBytes), kPageBytes) != 0)
          ++result.mismatches;
      });
  result.elapsedNs = times.elapsedNs;
  result.latencyNs = std::move(times.latencyNs);
  return result;
}

}  // namespace tmemd::mock
