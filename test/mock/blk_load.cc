#include "mock/blk_load.h"

#include <linux/virtio_blk.h>

#include <stdexcept>
#include <utility>

#include "mock/stream.h"

namespace tmemd::mock {

namespace {

constexpr uint32_t kPageSectors = PageSlots::kPageBytes / 512;
constexpr uint32_t kSlotBytes = 64;
constexpr uint32_t kRangeOffset = 16;
constexpr uint32_t kStatusOffset = 32;

static_assert(sizeof(virtio_blk_outhdr) == kRangeOffset);
static_assert(sizeof(virtio_blk_discard_write_zeroes) == kStatusOffset - kRangeOffset);

}  // namespace

BlkLoad::BlkLoad(GuestMemory& memory, Ring& ring, size_t regionIndex, uint32_t depth, uint64_t corpusAddress)
    : ring_(ring), depth_(depth), slots_(memory, ring, regionIndex, depth, kSlotBytes, corpusAddress) {}

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

  std::array<Segment, 3> segments;
  size_t count = 0;
  segments[count++] = slots_.write(slot, 0, request);
  if (type == VIRTIO_BLK_T_OUT) {
    segments[count++] = slots_.corpusPage(page);
  } else if (type == VIRTIO_BLK_T_IN) {
    segments[count++] = slots_.landing(slot);
  } else {
    virtio_blk_discard_write_zeroes range{};
    range.sector = sector;
    range.num_sectors = kPageSectors;
    segments[count++] = slots_.write(slot, kRangeOffset, range);
  }
  segments[count++] = {slots_.header(slot) + kStatusOffset, 1, true};
  return slots_.add(std::span(segments.data(), count));
}

BlkLoad::Result BlkLoad::run(std::span<const uint32_t> pages, uint32_t type, bool verify) {
  Result result;
  StreamTimes times = stream(
      ring_, depth_, pages.size(), [&](uint32_t slot, size_t n) { return submit(slot, pages[n], type); },
      [&](uint32_t slot, size_t n, const UsedEntry&) {
        const auto status = slots_.read<uint8_t>(slot, kStatusOffset);
        if (status >= result.byStatus.size()) throw std::runtime_error("the device answered out of the protocol");
        ++result.byStatus[status];
        if (verify && status == VIRTIO_BLK_S_OK && !slots_.hasLanded(slot, pages[n])) ++result.mismatches;
      });
  result.elapsedNs = times.elapsedNs;
  result.latencyNs = std::move(times.latencyNs);
  return result;
}

}  // namespace tmemd::mock
