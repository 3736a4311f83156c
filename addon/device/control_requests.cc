// From a chain to the store and back, one control request at a time.
#include "device/control_requests.h"

#include <utility>

namespace tmemd {

ControlRequests::ControlRequests(Store& store, GuestId guest, PageRequests& pageRequests,
                                 DeviceCounters& counters, Hooks hooks)
    : store_(store),
      guest_(guest),
      pageRequests_(pageRequests),
      counters_(counters),
      hooks_(std::move(hooks)) {}

PageRequests::Result ControlRequests::run(Queue& queue, const GuestMemory& memory, uint32_t maxChains) {
  using Result = PageRequests::Result;
  for (uint32_t taken = 0; taken < maxChains && queue.vring.knownAvailable() != 0; ++taken) {
    const uint64_t begunNs = nowNs();
    const ChainFault fault = queue.vring.take(memory, chain_);
    counters_.requestsTotal.add(1);
    if (fault != ChainFault::kNone || chain_.writableBytes < kResponseBytes) {
      counters_.brokenChainsTotal.add(1);
      queue.vring.complete(chain_.head, 0);
    } else {
      Response response{Status::kBadRequest, 0, 0};
      if (chain_.readableBytes >= kRequestBytes) {
        const Request request = readRequest(chain_);
        if (memory.lost()) return Result::kMemoryLost;
        // No page data belongs to a control request, so that no maximum applies.
        if (wellFormed(request, QueueKind::kControl, 0, chain_) && !execute(request, response))
          return Result::kMemoryLost;
      }
      if (response.status == Status::kBadRequest) counters_.badRequestsTotal.add(1);
      writeResponse(chain_, response);
      queue.vring.complete(chain_.head, kResponseBytes);
    }
    counters_.latencyOf(LatencyOp::control).record(nowNs() - begunNs);
    if (memory.lost()) return Result::kMemoryLost;
    queue.publish(counters_);
  }
  return Result::kDone;
}

// False: guest memory is lost.
bool ControlRequests::execute(const Request& request, Response& response) {
  response = {};
  if (request.op == VIRTIO_TMEM_OP_RESET) {
    if (!hooks_.drainPageQueues()) return false;
    response.value = store_.reset(guest_);
    pageRequests_.openSession();
    hooks_.sessionOpened();
    return true;
  }
  if (request.op == VIRTIO_TMEM_OP_ATTACH) {
    response.status = store_.attach(guest_, request.object.word[0]);
    if (response.status == Status::kOk) pageRequests_.openSession();
    return true;
  }
  if (!pageRequests_.sessionOpen()) {
    response.status = Status::kNoSession;
    return true;
  }
  switch (request.op) {
    case VIRTIO_TMEM_OP_POOL_CREATE: {
      if (request.flags & VIRTIO_TMEM_POOL_SHARED) {
        response.status = Status::kDenied;
        break;
      }
      PoolId pool = 0;
      response.status = store_.createPool(guest_, request.flags & VIRTIO_TMEM_POOL_PERSISTENT, &pool);
      if (response.status == Status::kOk) response.value = pool;
      break;
    }
    case VIRTIO_TMEM_OP_POOL_DESTROY:
      response.status = store_.destroyPool(guest_, request.pool);
      break;
    case VIRTIO_TMEM_OP_STAT:
      stat(request.pool, response);
      break;
  }
  return true;
}

void ControlRequests::stat(uint32_t pool, Response& response) {
  switch (pool) {
    case VIRTIO_TMEM_ALL_POOLS:
      response.value = store_.pagesHeld(guest_);
      return;
    case VIRTIO_TMEM_STAT_TARGET:
    case VIRTIO_TMEM_STAT_LIMIT:
      response.value =
          (pool == VIRTIO_TMEM_STAT_TARGET ? targetPages_ : limitPages_).load(std::memory_order_relaxed);
      if (!std::exchange(driverAsked_, true)) hooks_.driverAsks();
      return;
    default:
      response.status = store_.pagesHeld(guest_, pool, &response.value);
  }
}

}  // namespace tmemd
