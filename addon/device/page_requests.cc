// From a chain to the store and back, one page request or one batch of gets at a time.
#include "device/page_requests.h"

#include <algorithm>

namespace tmemd {

PageRequests::PageRequests(Store& store, GuestId guest, WorkerContext& context, uint32_t maxPagesPerRequest,
                           DeviceCounters& counters)
    : store_(store),
      guest_(guest),
      context_(context),
      maxPagesPerRequest_(maxPagesPerRequest),
      counters_(counters) {}

PageRequests::Result PageRequests::run(Queue& queue, const GuestMemory& memory, uint32_t maxChains) {
  lastNs_ = nowNs();
  unpublished_ = 0;
  for (uint32_t taken = 0; taken < maxChains && queue.vring.knownAvailable() != 0; ++taken)
    if (runOne(queue, memory) == Result::kMemoryLost) return Result::kMemoryLost;
  if (finishGets(queue, memory) == Result::kMemoryLost || memory.lost()) return Result::kMemoryLost;
  queue.publish(counters_);
  return Result::kDone;
}

PageRequests::Result PageRequests::runOne(Queue& queue, const GuestMemory& memory) {
  PendingGet& pending = gets_[getCount_];
  Chain& chain = pending.chain;
  const ChainFault fault = queue.vring.take(memory, chain);
  const bool answerable = fault == ChainFault::kNone && chain.writableBytes >= kResponseBytes;

  Request request;
  bool valid = false;
  if (answerable && chain.readableBytes >= kRequestBytes) {
    request = readRequest(chain);
    valid = wellFormed(request, QueueKind::kPages, maxPagesPerRequest_, chain);
  }
  if (valid && sessionOpen_ && request.op == VIRTIO_TMEM_OP_GET) {
    addGet(request, pending);
    return ops_.size() >= kBatchPages ? finishGets(queue, memory) : Result::kDone;
  }

  if (getCount_ != 0) {
    // The chain sits in the batch's next place and stays valid: finishing leaves it alone.
    if (finishGets(queue, memory) == Result::kMemoryLost) return Result::kMemoryLost;
  }
  if (!answerable) {
    counters_.requestsTotal.add(1);
    counters_.brokenChainsTotal.add(1);
    queue.vring.complete(chain.head, 0);
    return Result::kDone;
  }
  // What may take long does not hold back what is done.
  const bool manyPages = valid && (request.op == VIRTIO_TMEM_OP_FLUSH_OBJECT || request.pageCount > kBatchPages);
  if (manyPages && unpublished_ != 0) {
    if (memory.lost()) return Result::kMemoryLost;
    queue.publish(counters_);
    unpublished_ = 0;
  }
  Response response;
  LatencyOp op = LatencyOp::flush;
  if (!valid) {
    response.status = Status::kBadRequest;
  } else if (!sessionOpen_) {
    response.status = Status::kNoSession;
  } else if (request.op == VIRTIO_TMEM_OP_PUT) {
    op = LatencyOp::put;
    if (!put(queue, memory, request, chain, response)) return Result::kMemoryLost;
  } else if (request.op == VIRTIO_TMEM_OP_FLUSH) {
    response.status = store_.flush(context_, guest_, request.key(), request.pageCount);
    if (response.status == Status::kOk) response.donePages = request.pageCount;
  } else {
    op = LatencyOp::flush_object;
    response.status = store_.flushObject(context_, guest_, request.pool, request.object);
  }
  respond(queue, chain, response, 0);
  if (valid && sessionOpen_) {
    const uint64_t now = nowNs();
    counters_.latencyOf(op).record(now - lastNs_);
    lastNs_ = now;
  }
  if (unpublished_ >= (op == LatencyOp::put ? kMaxUnpublishedPuts : kMaxUnpublished)) {
    if (memory.lost()) return Result::kMemoryLost;
    queue.publish(counters_);
    unpublished_ = 0;
  }
  return Result::kDone;
}

// False: guest memory is lost, and what was read of it is not to be used.
bool PageRequests::put(const Queue& queue, const GuestMemory& memory, const Request& request, const Chain& chain,
                       Response& response) {
  SegmentCursor data(chain.readable);
  data.skip(kRequestBytes);
  PageKey key = request.key();
  while (response.status == Status::kOk && response.donePages < request.pageCount) {
    const uint32_t count = std::min(request.pageCount - response.donePages, kPutPagesMax);
    data.read(context_.page(), count * kPageBytes);
    if (memory.lost()) return false;
    // The next request's page travels while these are compressed.
    if (response.donePages + count == request.pageCount) queue.vring.prefetchAhead(memory);
    const Store::PutResult result = store_.put(context_, guest_, key, count);
    response.status = result.status;
    response.donePages += result.donePages;
    key.index += result.donePages;
  }
  // What stops at a page leaves nothing under the keys that were not reached.
  const uint32_t left = request.pageCount - response.donePages;
  if (response.status == Status::kRefused && left > 1) {
    ++key.index;
    store_.flush(context_, guest_, key, left - 1);
  }
  return true;
}

void PageRequests::addGet(const Request& request, PendingGet& pending) {
  ++getCount_;
  pending.firstOp = ops_.size();
  pending.pageCount = request.pageCount;
  SegmentCursor room(pending.chain.writable);
  room.skip(kResponseBytes);
  PageKey key = request.key();
  for (uint32_t page = 0; page < request.pageCount; ++page, ++key.index) {
    GetOp op;
    op.key = key;
    op.exclusive = request.flags & VIRTIO_TMEM_GET_EXCLUSIVE;
    op.continued = page != 0;
    op.out = room.contiguous(kPageBytes);
    if (!op.out) {
      op.out = nextBouncePage();
      bounces_.push_back({ops_.size(), op.out});
      room.skip(kPageBytes);
    }
    ops_.push_back(op);
  }
}

PageRequests::Result PageRequests::finishGets(Queue& queue, const GuestMemory& memory) {
  if (getCount_ == 0) return Result::kDone;
  store_.get(context_, guest_, ops_);
  size_t bounce = 0;
  for (size_t i = 0; i < getCount_; ++i) {
    const PendingGet& pending = gets_[i];
    Response response;
    SegmentCursor room(pending.chain.writable);
    room.skip(kResponseBytes);
    for (uint32_t page = 0; page < pending.pageCount; ++page) {
      const size_t op = pending.firstOp + page;
      const bool bounced = bounce < bounces_.size() && bounces_[bounce].op == op;
      const std::byte* bouncePage = bounced ? bounces_[bounce++].page : nullptr;
      if (response.status == Status::kOk) response.status = ops_[op].status;
      if (response.status != Status::kOk) continue;
      ++response.donePages;
      if (bounced) {
        room.write(bouncePage, kPageBytes);
      } else {
        room.skip(kPageBytes);
      }
    }
    if (response.status == Status::kBadRequest) response.donePages = 0;
    respond(queue, pending.chain, response, response.donePages * static_cast<uint32_t>(kPageBytes));
  }
  const uint64_t now = nowNs();
  counters_.latencyOf(LatencyOp::get).record(now - lastNs_, getCount_);
  lastNs_ = now;
  getCount_ = 0;
  ops_.clear();
  bounces_.clear();
  if (memory.lost()) return Result::kMemoryLost;
  queue.publish(counters_);
  unpublished_ = 0;
  return Result::kDone;
}

void PageRequests::respond(Queue& queue, const Chain& chain, const Response& response, uint32_t dataBytes) {
  writeResponse(chain, response);
  counters_.requestsTotal.add(1);
  if (response.status == Status::kBadRequest) counters_.badRequestsTotal.add(1);
  queue.vring.complete(chain.head, static_cast<uint32_t>(kResponseBytes) + dataBytes);
  ++unpublished_;
}

std::byte* PageRequests::nextBouncePage() {
  // At most kBatchPages - 1 + VIRTIO_TMEM_MAX_PAGES_PER_REQUEST of them.
  if (bounces_.size() == bouncePages_.size()) bouncePages_.push_back(std::make_unique<BouncePage>());
  return bouncePages_[bounces_.size()]->data();
}

}  // namespace tmemd
