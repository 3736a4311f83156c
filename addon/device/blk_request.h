// A virtio-blk request as the guest wrote it (virtio 1.2, section 5.2.6),
// copied, decoded and checked for everything that can be told without looking
// at the store.
//
//   readable: virtio_blk_outhdr, then the data of OUT or the ranges of DISCARD and WRITE_ZEROES
//   writable: the data of IN or GET_ID, then one byte of status
//
// How a chain is cut into descriptors does not matter. Sectors are 512 bytes,
// whatever the block size the config space speaks of.
#ifndef TMEMD_DEVICE_BLK_REQUEST_H_
#define TMEMD_DEVICE_BLK_REQUEST_H_

#include <linux/virtio_blk.h>

#include <array>
#include <cstdint>

#include "device/chain.h"

namespace tmemd {

inline constexpr uint64_t kSectorBytes = 512;
inline constexpr size_t kBlkHeaderBytes = sizeof(virtio_blk_outhdr);
inline constexpr size_t kBlkRangeBytes = sizeof(virtio_blk_discard_write_zeroes);
static_assert(kBlkHeaderBytes == 16 && kBlkRangeBytes == 16);

// What the config space says of requests (src/guest/disk.ts has them too).
inline constexpr uint32_t kBlkMaxSegments = 126;  // with header and status a ring of 128
inline constexpr uint32_t kBlkMaxSegmentBytes = 64 << 10;
inline constexpr uint32_t kBlkMaxRanges = 16;
inline constexpr uint32_t kBlkMaxRangeSectors = (1 << 30) / kSectorBytes;
// Firmware does not look at the limits above; beyond this one a request fails.
inline constexpr uint64_t kBlkMaxRequestBytes = 64 << 20;

enum class BlkStatus : uint8_t {
  kOk = VIRTIO_BLK_S_OK,
  kIoError = VIRTIO_BLK_S_IOERR,
  kUnsupported = VIRTIO_BLK_S_UNSUPP,
};

// In bytes on the disk.
struct BlkRange {
  uint64_t offset = 0;
  uint64_t sizeBytes = 0;
};

struct BlkRequest {
  uint32_t type = 0;
  // IN, OUT: one, of the data; DISCARD, WRITE_ZEROES: those the guest listed.
  std::array<BlkRange, kBlkMaxRanges> ranges;
  uint32_t rangeCount = 0;
};

// Of the writable part; at least the status byte is there.
inline uint64_t dataRoomBytes(const Chain& chain) { return chain.writableBytes - 1; }

// Anything but kOk: answer that, with nothing done.
BlkStatus readBlkRequest(const Chain& chain, uint64_t diskBytes, BlkRequest& request);

// At least one byte is writable.
void writeBlkStatus(const Chain& chain, BlkStatus status);

}  // namespace tmemd

#endif  // TMEMD_DEVICE_BLK_REQUEST_H_
