// A request as the guest wrote it (virtio_tmem.h), copied, decoded and checked
// for everything that can be told without looking at pools.
#ifndef TMEMD_DEVICE_REQUEST_H_
#define TMEMD_DEVICE_REQUEST_H_

#include <linux/virtio_tmem.h>

#include <cstdint>

#include "device/chain.h"
#include "engine/store.h"

namespace tmemd {

inline constexpr size_t kRequestBytes = sizeof(virtio_tmem_req);
inline constexpr size_t kResponseBytes = sizeof(virtio_tmem_resp);
static_assert(kRequestBytes == 40 && kResponseBytes == 16 && sizeof(virtio_tmem_config) == 64);

struct Request {
  uint16_t op = 0;
  uint16_t flags = 0;
  PoolId pool = 0;
  ObjectId object;
  uint32_t index = 0;
  uint32_t pageCount = 0;

  PageKey key() const { return {pool, object, index}; }
};

struct Response {
  Status status = Status::kOk;
  uint32_t donePages = 0;
  uint64_t value = 0;
};

enum class QueueKind { kControl, kPages };

// The lengths of both parts are the chain's; at least kRequestBytes are readable.
Request readRequest(const Chain& chain);

// False: BAD_REQUEST, and nothing may be done.
bool wellFormed(const Request& request, QueueKind queue, uint32_t maxPagesPerRequest, const Chain& chain);

// At least kResponseBytes are writable.
void writeResponse(const Chain& chain, const Response& response);

}  // namespace tmemd

#endif  // TMEMD_DEVICE_REQUEST_H_
