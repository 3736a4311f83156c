/**
 * What a guest of the personality `blk` is shown: the features and the config
 * space of a virtio-blk device (virtio 1.2, section 5.2). The layout is that of
 * linux/virtio_blk.h and the limits are those of addon/device/blk_request.h; a
 * test compares these constants and the encoding with both.
 */
import type { DiskConfig } from '../config/config.js';
import { PAGE_BYTES } from '../config/quantity.js';

export const SECTOR_BYTES = 512;

/** The headers' constants; feature bits by number. */
export const blkWire = {
  F_SIZE_MAX: 1,
  F_SEG_MAX: 2,
  F_BLK_SIZE: 6,
  F_FLUSH: 9,
  F_TOPOLOGY: 10,
  F_MQ: 12,
  F_DISCARD: 13,
  F_WRITE_ZEROES: 14,
  MAX_SEGMENTS: 126,
  MAX_SEGMENT_BYTES: 65536,
  MAX_RANGES: 16,
  MAX_RANGE_SECTORS: 2 ** 30 / SECTOR_BYTES,
} as const;

export const DISK_FEATURES = [
  blkWire.F_SIZE_MAX,
  blkWire.F_SEG_MAX,
  blkWire.F_BLK_SIZE,
  blkWire.F_FLUSH,
  blkWire.F_TOPOLOGY,
  blkWire.F_MQ,
  blkWire.F_DISCARD,
  blkWire.F_WRITE_ZEROES,
].reduce((all, bit) => all | (1n << BigInt(bit)), 0n);

/** Up to and with write_zeroes_may_unmap and its padding; what comes after belongs to features not offered. */
const CONFIG_BYTES = 60;

export function encodeDiskConfigSpace(disk: DiskConfig, queueCount: number): Buffer {
  const space = Buffer.alloc(CONFIG_BYTES);
  const pageSectors = PAGE_BYTES / SECTOR_BYTES;
  space.writeBigUInt64LE(BigInt(disk.pageCount) * BigInt(pageSectors), 0); // capacity
  space.writeUInt32LE(blkWire.MAX_SEGMENT_BYTES, 8); // size_max
  space.writeUInt32LE(blkWire.MAX_SEGMENTS, 12); // seg_max
  space.writeUInt32LE(disk.blockBytes, 20); // blk_size
  space.writeUInt8(Math.log2(PAGE_BYTES / disk.blockBytes), 24); // physical_block_exp
  space.writeUInt8(0, 25); // alignment_offset
  space.writeUInt16LE(PAGE_BYTES / disk.blockBytes, 26); // min_io_size, in blocks
  space.writeUInt32LE(0, 28); // opt_io_size: none
  space.writeUInt16LE(queueCount, 34); // num_queues
  space.writeUInt32LE(blkWire.MAX_RANGE_SECTORS, 36); // max_discard_sectors
  space.writeUInt32LE(blkWire.MAX_RANGES, 40); // max_discard_seg
  space.writeUInt32LE(pageSectors, 44); // discard_sector_alignment
  space.writeUInt32LE(blkWire.MAX_RANGE_SECTORS, 48); // max_write_zeroes_sectors
  space.writeUInt32LE(blkWire.MAX_RANGES, 52); // max_write_zeroes_seg
  space.writeUInt8(1, 56); // write_zeroes_may_unmap
  return space;
}
