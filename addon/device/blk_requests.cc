// From a chain to the disk and back, one request at a time.
#include "device/blk_requests.h"

#include <algorithm>
#include <utility>

namespace tmemd {
namespace {

LatencyOp latencyOpOf(uint32_t type) {
  switch (type) {
    case VIRTIO_BLK_T_IN:
      return LatencyOp::get;
    case VIRTIO_BLK_T_OUT:
      return LatencyOp::put;
    case VIRTIO_BLK_T_DISCARD:
    case VIRTIO_BLK_T_WRITE_ZEROES:
      return LatencyOp::flush;
    default:
      return LatencyOp::control;
  }
}

}  // namespace

BlkRequests::BlkRequests(Store& store, GuestId guest, WorkerContext& context, DiskOptions options,
                         DeviceCounters& counters, Hooks hooks)
    : options_(std::move(options)),
      counters_(counters),
      hooks_(std::move(hooks)),
      disk_(store, guest, context, options_.pageCount) {}

void BlkRequests::settleLife() {
  lifeSettled_ = true;
  alive_ = disk_.find();
  if (alive_) return;
  if (!hooks_.everyRingBeganAtZero()) return hooks_.lifeLost();
  alive_ = disk_.create();
  if (alive_) hooks_.lifeBegun();
}

PageRequests::Result BlkRequests::run(Queue& queue, const GuestMemory& memory, uint32_t maxChains) {
  using Result = PageRequests::Result;
  if (!lifeSettled_) settleLife();
  uint64_t runBytes = 0;
  uint64_t unpublishedBytes = 0;
  uint64_t lastNs = nowNs();
  for (uint32_t taken = 0; taken < maxChains && runBytes < kRunBytes && queue.vring.knownAvailable() != 0;
       ++taken) {
    const ChainFault fault = queue.vring.take(memory, chain_);
    counters_.requestsTotal.add(1);
    if (fault != ChainFault::kNone || chain_.writableBytes == 0) {
      counters_.brokenChainsTotal.add(1);
      queue.vring.complete(chain_.head, 0);
      continue;
    }
    request_ = {};
    BlkStatus status = readBlkRequest(chain_, disk_.sizeBytes(), request_);
    if (memory.lost()) return Result::kMemoryLost;
    if (status != BlkStatus::kOk) {
      counters_.badRequestsTotal.add(1);
    } else if (execute(memory, status) == Disk::Result::kMemoryLost) {
      return Result::kMemoryLost;
    }
    writeBlkStatus(chain_, status);
    // After a failure nothing but the status can be relied on, wherever it lies.
    const bool brought = status == BlkStatus::kOk &&
                         (request_.type == VIRTIO_BLK_T_IN || request_.type == VIRTIO_BLK_T_GET_ID);
    queue.vring.complete(chain_.head, brought ? static_cast<uint32_t>(chain_.writableBytes) : 1);

    const LatencyOp op = latencyOpOf(request_.type);
    const uint64_t now = nowNs();
    counters_.latencyOf(op).record(now - lastNs);
    lastNs = now;
    uint64_t doneBytes = 0;
    for (uint32_t i = 0; i < request_.rangeCount; ++i) doneBytes += request_.ranges[i].sizeBytes;
    if (op == LatencyOp::flush) doneBytes /= kDiscardsPerWrite;
    runBytes += doneBytes;
    unpublishedBytes += doneBytes;
    if (unpublishedBytes >= kUnpublishedBytes) {
      if (memory.lost()) return Result::kMemoryLost;
      queue.publish(counters_);
      unpublishedBytes = 0;
    }
  }
  if (memory.lost()) return Result::kMemoryLost;
  queue.publish(counters_);
  return Result::kDone;
}

Disk::Result BlkRequests::execute(const GuestMemory& memory, BlkStatus& status) {
  using Result = Disk::Result;
  if (request_.type == VIRTIO_BLK_T_GET_ID) {
    writeId();
    return Result::kDone;
  }
  Result result = alive_ ? Result::kDone : Result::kFailed;
  for (uint32_t i = 0; i < request_.rangeCount && result == Result::kDone; ++i) {
    const BlkRange& range = request_.ranges[i];
    if (request_.type == VIRTIO_BLK_T_IN) {
      result = disk_.read(range.offset, range.sizeBytes, SegmentCursor(chain_.writable));
    } else if (request_.type == VIRTIO_BLK_T_OUT) {
      SegmentCursor data(chain_.readable);
      data.skip(kBlkHeaderBytes);
      result = disk_.write(range.offset, range.sizeBytes, data, memory);
    } else if (request_.type == VIRTIO_BLK_T_DISCARD) {
      result = disk_.discard(range.offset, range.sizeBytes);
    } else {
      // UNMAP or not: what is let go can be written again, as the reserve says.
      result = disk_.writeZeroes(range.offset, range.sizeBytes);
    }
  }
  status = result == Result::kDone ? BlkStatus::kOk : BlkStatus::kIoError;
  return result;
}

// 5.2.6: padded with zeros, without a terminator where it fills the field.
void BlkRequests::writeId() {
  char id[VIRTIO_BLK_ID_BYTES] = {};
  options_.serial.copy(id, sizeof id);
  SegmentCursor room(chain_.writable);
  const uint64_t roomBytes = dataRoomBytes(chain_);
  const uint64_t idBytes = std::min<uint64_t>(roomBytes, sizeof id);
  room.write(id, idBytes);
  room.fill(std::byte{0}, roomBytes - idBytes);
}

}  // namespace tmemd
