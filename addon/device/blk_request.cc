// What each type of request must look like.
#include "device/blk_request.h"

namespace tmemd {
namespace {

bool onDisk(uint64_t sector, uint64_t sizeBytes, uint64_t diskBytes) {
  const uint64_t diskSectors = diskBytes / kSectorBytes;
  return sizeBytes % kSectorBytes == 0 && sector <= diskSectors &&
         sizeBytes / kSectorBytes <= diskSectors - sector;
}

BlkStatus readTransfer(uint64_t sector, uint64_t sizeBytes, uint64_t diskBytes, BlkRequest& request) {
  if (sizeBytes > kBlkMaxRequestBytes || !onDisk(sector, sizeBytes, diskBytes)) return BlkStatus::kIoError;
  request.ranges[0] = {sector * kSectorBytes, sizeBytes};
  request.rangeCount = 1;
  return BlkStatus::kOk;
}

// 5.2.6.2: which violation gets which status.
BlkStatus readRanges(SegmentCursor from, uint64_t sizeBytes, uint64_t diskBytes, BlkRequest& request) {
  if (sizeBytes == 0 || sizeBytes % kBlkRangeBytes != 0 || sizeBytes > kBlkMaxRanges * kBlkRangeBytes)
    return BlkStatus::kIoError;
  const uint32_t flagsAllowed =
      request.type == VIRTIO_BLK_T_WRITE_ZEROES ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0;
  BlkStatus status = BlkStatus::kOk;
  for (uint64_t at = 0; at < sizeBytes; at += kBlkRangeBytes) {
    virtio_blk_discard_write_zeroes wire;
    from.read(&wire, sizeof wire);
    if (wire.flags & ~flagsAllowed) return BlkStatus::kUnsupported;
    const uint64_t rangeBytes = uint64_t{wire.num_sectors} * kSectorBytes;
    if (wire.num_sectors > kBlkMaxRangeSectors || !onDisk(wire.sector, rangeBytes, diskBytes))
      status = BlkStatus::kIoError;
    else
      request.ranges[request.rangeCount++] = {wire.sector * kSectorBytes, rangeBytes};
  }
  return status;
}

}  // namespace

BlkStatus readBlkRequest(const Chain& chain, uint64_t diskBytes, BlkRequest& request) {
  request.rangeCount = 0;
  if (chain.readableBytes < kBlkHeaderBytes) return BlkStatus::kIoError;
  SegmentCursor from(chain.readable);
  virtio_blk_outhdr header;
  from.read(&header, sizeof header);
  request.type = header.type;
  const uint64_t bodyBytes = chain.readableBytes - kBlkHeaderBytes;
  switch (header.type) {
    case VIRTIO_BLK_T_IN:
      return readTransfer(header.sector, dataRoomBytes(chain), diskBytes, request);
    case VIRTIO_BLK_T_OUT:
      return readTransfer(header.sector, bodyBytes, diskBytes, request);
    case VIRTIO_BLK_T_DISCARD:
    case VIRTIO_BLK_T_WRITE_ZEROES:
      return readRanges(from, bodyBytes, diskBytes, request);
    case VIRTIO_BLK_T_GET_ID:
      return dataRoomBytes(chain) <= kBlkMaxRequestBytes ? BlkStatus::kOk : BlkStatus::kIoError;
    case VIRTIO_BLK_T_FLUSH:
      return BlkStatus::kOk;
    default:
      return BlkStatus::kUnsupported;
  }
}

void writeBlkStatus(const Chain& chain, BlkStatus status) {
  SegmentCursor at(chain.writable);
  at.skip(dataRoomBytes(chain));
  at.write(&status, 1);
}

}  // namespace tmemd
