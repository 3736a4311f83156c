#include "mock/load.h"

#include <linux/virtio_tmem.h>

#include <stdexcept>
#include <utility>

#include "mock/stream.h"

namespace tmemd::mock {

namespace {

constexpr uint32_t kSlotBytes = 128;
constexpr uint32_t kResponseOffset = 64;

}  // namespace

Load::Load(GuestMemory& memory, Ring& ring, size_t regionIndex, uint32_t depth, uint32_t pool,
           uint64_t corpusAddress)
    : ring_(ring),
      depth_(depth),
      pool_(pool),
      slots_(memory, ring, regionIndex, depth, kSlotBytes, corpusAddress) {}

uint16_t Load::submit(uint32_t slot, uint32_t page, Kind kind) {
  virtio_tmem_req request{};
  request.op = kind == Kind::kPut   ? VIRTIO_TMEM_OP_PUT
               : kind == Kind::kGet ? VIRTIO_TMEM_OP_GET
                                    : VIRTIO_TMEM_OP_FLUSH;
  request.pool = pool_;
  request.oid[0] = page >> 10;
  request.index = page & 1023;
  request.nr_pages = 1;

  std::array<Segment, 3> segments;
  size_t count = 0;
  segments[count++] = slots_.write(slot, 0, request);
  if (kind == Kind::kPut) segments[count++] = slots_.corpusPage(page);
  segments[count++] = {slots_.header(slot) + kResponseOffset, sizeof(virtio_tmem_resp), true};
  if (kind == Kind::kGet) segments[count++] = slots_.landing(slot);
  return slots_.add(std::span(segments.data(), count));
}

Load::Result Load::run(std::span<const uint32_t> pages, Kind kind, bool verify) {
  Result result;
  StreamTimes times = stream(
      ring_, depth_, pages.size(), [&](uint32_t slot, size_t n) { return submit(slot, pages[n], kind); },
      [&](uint32_t slot, size_t n, const UsedEntry& used) {
        const auto response = slots_.read<virtio_tmem_resp>(slot, kResponseOffset);
        if (used.length < sizeof response || response.status >= result.byStatus.size())
          throw std::runtime_error("the device answered out of the protocol");
        ++result.byStatus[response.status];
        if (verify && response.status == VIRTIO_TMEM_S_OK && !slots_.hasLanded(slot, pages[n]))
          ++result.mismatches;
      });
  result.elapsedNs = times.elapsedNs;
  result.latencyNs = std::move(times.latencyNs);
  return result;
}

}  // namespace tmemd::mock
