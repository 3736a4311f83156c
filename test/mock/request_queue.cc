#include "mock/request_queue.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace tmemd::mock {

namespace {

constexpr uint64_t kPageBytes = uint64_t{1} << VIRTIO_TMEM_PAGE_SHIFT;
constexpr uint64_t kFarRequest = 256;
constexpr uint32_t kTableEntries = 600;  // most descriptors of one request
constexpr uint8_t kUntouched = 0xa5;     // what writable memory holds before the device writes

static_assert(sizeof(virtio_tmem_req) == 40);
static_assert(sizeof(virtio_tmem_resp) == 16);

// Appends [start, start + length) as descriptors beginning at each cut.
void cut(std::vector<Segment>& out, uint64_t start, uint64_t length, std::vector<uint32_t> cuts, bool writable) {
  std::sort(cuts.begin(), cuts.end());
  uint64_t from = 0;
  for (uint32_t at : cuts) {
    if (at <= from || at >= length) continue;
    out.push_back({start + from, static_cast<uint32_t>(at - from), writable});
    from = at;
  }
  if (from < length) out.push_back({start + from, static_cast<uint32_t>(length - from), writable});
}

}  // namespace

RequestQueue::RequestQueue(GuestMemory& memory, Ring& ring, size_t regionIndex, uint32_t slotCount,
                           uint32_t maxPages)
    : memory_(memory),
      ring_(ring),
      slotBytes_((2 + uint64_t{maxPages}) * kPageBytes),  // one page behind, for requests that are too long
      maxPages_(maxPages),
      slotOfHead_(ring.layout().size, -1),
      responseOf_(slotCount, 0) {
  base_ = memory.allocate(regionIndex, slotCount * slotBytes_, kPageBytes);
  tables_ = memory.allocate(regionIndex, uint64_t{slotCount} * kTableEntries * 16, 16);
  for (uint32_t slot = slotCount; slot > 0; --slot) freeSlots_.push_back(slot - 1);
}

std::optional<uint32_t> RequestQueue::submit(const virtio_tmem_req& request, std::span<const std::byte> data,
                                             const Shape& shape) {
  if (freeSlots_.empty()) return std::nullopt;
  if (data.size() > maxPages_ * kPageBytes) throw std::length_error("more data than a slot holds");
  const uint32_t slot = freeSlots_.back();
  const uint64_t pages = slotAddress(slot) + kPageBytes;
  const bool isGet = request.op == VIRTIO_TMEM_OP_GET;
  const uint64_t landing = isGet ? std::min<uint64_t>(request.nr_pages, maxPages_) * kPageBytes : 0;

  const uint64_t readable = isGet ? slotAddress(slot) + kFarRequest : pages - sizeof request;
  const uint64_t writable = isGet ? pages - sizeof(virtio_tmem_resp) : slotAddress(slot);
  memory_.write(readable, std::as_bytes(std::span(&request, 1)));
  memory_.write(readable + sizeof request, data);
  std::memset(memory_.at(writable, sizeof(virtio_tmem_resp) + landing), kUntouched,
              sizeof(virtio_tmem_resp) + landing);

  const auto length = [](uint64_t bytes, int32_t extra) {
    return static_cast<uint64_t>(std::max<int64_t>(0, static_cast<int64_t>(bytes) + extra));
  };
  std::vector<Segment> segments;
  cut(segments, readable, length(sizeof request + data.size(), shape.readableExtra),
      shape.readableCuts.value_or(std::vector<uint32_t>{sizeof request}), false);
  cut(segments, writable, length(sizeof(virtio_tmem_resp) + landing, shape.writableExtra),
      shape.writableCuts.value_or(std::vector<uint32_t>{sizeof(virtio_tmem_resp)}), true);
  if (segments.empty() || segments.size() > kTableEntries) throw std::length_error("bad number of descriptors");

  std::optional<uint64_t> table;
  if (shape.indirect) table = tables_ + uint64_t{slot} * kTableEntries * 16;
  const std::optional<uint16_t> head = ring_.add(segments, table);
  if (!head) return std::nullopt;
  freeSlots_.pop_back();
  slotOfHead_[*head] = slot;
  responseOf_[slot] = writable;
  ++inFlight_;
  return slot;
}

std::optional<Completion> RequestQueue::take() {
  const std::optional<UsedEntry> used = ring_.take();
  if (!used) return std::nullopt;
  if (used->head >= slotOfHead_.size() || slotOfHead_[used->head] < 0)
    throw std::runtime_error("the device returned head " + std::to_string(used->head) + ", which is not in flight");
  Completion completion;
  completion.slot = static_cast<uint32_t>(slotOfHead_[used->head]);
  completion.usedLength = used->length;
  memory_.read(responseOf_[completion.slot], std::as_writable_bytes(std::span(&completion.response, 1)));
  slotOfHead_[used->head] = -1;
  freeSlots_.push_back(completion.slot);
  --inFlight_;
  return completion;
}

std::span<const std::byte> RequestQueue::data(uint32_t slot, uint32_t bytes) const {
  return {memory_.at(slotAddress(slot) + kPageBytes, bytes), bytes};
}

}  // namespace tmemd::mock
