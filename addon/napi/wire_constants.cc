// One line for each constant of virtio_tmem.h.
#include "napi/wire_constants.h"

#include <linux/virtio_tmem.h>

#include <cstddef>

namespace tmemd::binding {

Napi::Value wireConstants(const Napi::CallbackInfo& info) {
  Napi::Object to = Napi::Object::New(info.Env());
#define X(name) to.Set(#name, static_cast<double>(VIRTIO_TMEM_##name));
  X(DEFAULT_DEVICE_ID)
  X(MAGIC)
  X(VERSION)
  X(PAGE_SHIFT)
  X(MAX_PAGES_PER_REQUEST)
  X(CONTROL_QUEUE)
  X(CAP_PERSISTENT)
  X(CAP_EPHEMERAL)
  X(CAP_SHARED)
  X(CAP_EXCLUSIVE_GET)
  X(CAP_TARGET)
  X(OP_RESET)
  X(OP_POOL_CREATE)
  X(OP_POOL_DESTROY)
  X(OP_STAT)
  X(OP_ATTACH)
  X(OP_PUT)
  X(OP_GET)
  X(OP_FLUSH)
  X(OP_FLUSH_OBJECT)
  X(POOL_PERSISTENT)
  X(POOL_SHARED)
  X(GET_EXCLUSIVE)
  X(ALL_POOLS)
  X(S_OK)
  X(S_MISS)
  X(S_REFUSED)
  X(S_BAD_REQUEST)
  X(S_NO_POOL)
  X(S_DENIED)
  X(S_CORRUPT)
  X(S_NO_SESSION)
  X(S_TOO_MANY)
#undef X
  to.Set("SIZEOF_CONFIG", static_cast<double>(sizeof(virtio_tmem_config)));
  to.Set("SIZEOF_REQ", static_cast<double>(sizeof(virtio_tmem_req)));
  to.Set("SIZEOF_RESP", static_cast<double>(sizeof(virtio_tmem_resp)));
#define X(field) to.Set("CONFIG_" #field, static_cast<double>(offsetof(virtio_tmem_config, field)));
  X(magic)
  X(version)
  X(num_request_queues)
  X(capabilities)
  X(page_shift_mask)
  X(max_pages_per_request)
  X(max_pools)
  X(persistent_reserve)
  X(persistent_limit)
  X(persistent_target)
#undef X
  return to;
}

}  // namespace tmemd::binding
