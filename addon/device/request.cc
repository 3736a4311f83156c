// The shape of each op, and the checks that follow from it.
#include "device/request.h"

namespace tmemd {
namespace {

static_assert(static_cast<int>(Status::kOk) == VIRTIO_TMEM_S_OK);
static_assert(static_cast<int>(Status::kMiss) == VIRTIO_TMEM_S_MISS);
static_assert(static_cast<int>(Status::kRefused) == VIRTIO_TMEM_S_REFUSED);
static_assert(static_cast<int>(Status::kBadRequest) == VIRTIO_TMEM_S_BAD_REQUEST);
static_assert(static_cast<int>(Status::kNoPool) == VIRTIO_TMEM_S_NO_POOL);
static_assert(static_cast<int>(Status::kDenied) == VIRTIO_TMEM_S_DENIED);
static_assert(static_cast<int>(Status::kCorrupt) == VIRTIO_TMEM_S_CORRUPT);
static_assert(static_cast<int>(Status::kNoSession) == VIRTIO_TMEM_S_NO_SESSION);
static_assert(static_cast<int>(Status::kTooMany) == VIRTIO_TMEM_S_TOO_MANY);
static_assert(kPageBytes == 1u << VIRTIO_TMEM_PAGE_SHIFT);

// What an op uses; a field it does not use must be 0.
struct Shape {
  QueueKind queue;
  uint16_t flags;    // those allowed
  uint8_t oidWords;  // leading words used
  bool pool;
  bool index;
  bool pageCount;
  bool readsPages;   // data follows the request
  bool writesPages;  // room follows the response
};

const Shape* shapeOf(uint16_t op) {
  using enum QueueKind;
  static constexpr uint16_t kPoolFlags = VIRTIO_TMEM_POOL_PERSISTENT | VIRTIO_TMEM_POOL_SHARED;
  static constexpr Shape kReset{kControl, 0, 0, false, false, false, false, false};
  static constexpr Shape kPoolCreate{kControl, kPoolFlags, 0, false, true, false, false, false};
  static constexpr Shape kOnPool{kControl, 0, 0, true, false, false, false, false};
  static constexpr Shape kAttach{kControl, 0, 1, false, false, false, false, false};
  static constexpr Shape kPut{kPages, 0, 3, true, true, true, true, false};
  static constexpr Shape kGet{kPages, VIRTIO_TMEM_GET_EXCLUSIVE, 3, true, true, true, false, true};
  static constexpr Shape kFlush{kPages, 0, 3, true, true, true, false, false};
  static constexpr Shape kFlushObject{kPages, 0, 3, true, false, false, false, false};
  switch (op) {
    case VIRTIO_TMEM_OP_RESET:
      return &kReset;
    case VIRTIO_TMEM_OP_POOL_CREATE:
      return &kPoolCreate;
    case VIRTIO_TMEM_OP_POOL_DESTROY:
    case VIRTIO_TMEM_OP_STAT:
      return &kOnPool;
    case VIRTIO_TMEM_OP_ATTACH:
      return &kAttach;
    case VIRTIO_TMEM_OP_PUT:
      return &kPut;
    case VIRTIO_TMEM_OP_GET:
      return &kGet;
    case VIRTIO_TMEM_OP_FLUSH:
      return &kFlush;
    case VIRTIO_TMEM_OP_FLUSH_OBJECT:
      return &kFlushObject;
    default:
      return nullptr;
  }
}

}  // namespace

Request readRequest(const Chain& chain) {
  virtio_tmem_req wire;
  SegmentCursor(chain.readable).read(&wire, sizeof wire);
  return {wire.op,    wire.flags,   wire.pool, {{wire.oid[0], wire.oid[1], wire.oid[2]}},
          wire.index, wire.nr_pages};
}

bool wellFormed(const Request& request, QueueKind queue, uint32_t maxPagesPerRequest, const Chain& chain) {
  const Shape* shape = shapeOf(request.op);
  if (!shape || shape->queue != queue) return false;
  if (request.flags & ~shape->flags) return false;
  if (!shape->pool && request.pool != 0) return false;
  for (int word = shape->oidWords; word < 3; ++word)
    if (request.object.word[word] != 0) return false;
  if (!shape->index && request.index != 0) return false;
  if (!shape->pageCount && request.pageCount != 0) return false;
  if (request.op == VIRTIO_TMEM_OP_POOL_CREATE && request.index != VIRTIO_TMEM_PAGE_SHIFT) return false;

  uint64_t dataBytes = 0;
  if (shape->pageCount) {
    if (request.pageCount == 0) return false;
    if (uint64_t{request.index} + request.pageCount > uint64_t{1} << 32) return false;
  }
  if (shape->readsPages || shape->writesPages) {
    if (request.pageCount > maxPagesPerRequest) return false;
    dataBytes = uint64_t{request.pageCount} * kPageBytes;
  }
  return chain.readableBytes == kRequestBytes + (shape->readsPages ? dataBytes : 0) &&
         chain.writableBytes == kResponseBytes + (shape->writesPages ? dataBytes : 0);
}

void writeResponse(const Chain& chain, const Response& response) {
  const virtio_tmem_resp wire = {static_cast<uint32_t>(response.status), response.donePages, response.value};
  SegmentCursor(chain.writable).write(&wire, sizeof wire);
}

}  // namespace tmemd
