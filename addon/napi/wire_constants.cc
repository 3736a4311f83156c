// One line for each constant of virtio_tmem.h, and of virtio_blk.h as far as it is used.
#include "napi/wire_constants.h"

#include <linux/virtio_blk.h>
#include <linux/virtio_tmem.h>

#include <cstddef>

#include "device/blk_request.h"

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
  X(STAT_TARGET)
  X(STAT_LIMIT)
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
#define X(name) to.Set("BLK_" #name, static_cast<double>(VIRTIO_BLK_##name));
  X(F_SIZE_MAX)
  X(F_SEG_MAX)
  X(F_BLK_SIZE)
  X(F_FLUSH)
  X(F_TOPOLOGY)
  X(F_MQ)
  X(F_DISCARD)
  X(F_WRITE_ZEROES)
  X(ID_BYTES)
  X(T_IN)
  X(T_OUT)
  X(T_FLUSH)
  X(T_GET_ID)
  X(T_DISCARD)
  X(T_WRITE_ZEROES)
  X(S_OK)
  X(S_IOERR)
  X(S_UNSUPP)
#undef X
  to.Set("BLK_SIZEOF_CONFIG", static_cast<double>(sizeof(virtio_blk_config)));
#define X(field) to.Set("BLK_CONFIG_" #field, static_cast<double>(offsetof(virtio_blk_config, field)));
  X(capacity)
  X(size_max)
  X(seg_max)
  X(blk_size)
  X(physical_block_exp)
  X(alignment_offset)
  X(min_io_size)
  X(opt_io_size)
  X(num_queues)
  X(max_discard_sectors)
  X(max_discard_seg)
  X(discard_sector_alignment)
  X(max_write_zeroes_sectors)
  X(max_write_zeroes_seg)
  X(write_zeroes_may_unmap)
#undef X
  to.Set("BLK_MAX_SEGMENTS", kBlkMaxSegments);
  to.Set("BLK_MAX_SEGMENT_BYTES", kBlkMaxSegmentBytes);
  to.Set("BLK_MAX_RANGES", kBlkMaxRanges);
  to.Set("BLK_MAX_RANGE_SECTORS", kBlkMaxRangeSectors);
  return to;
}

}  // namespace tmemd::binding
