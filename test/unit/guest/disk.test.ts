/** What a guest of the personality blk is shown, against the headers of virtio-blk and of the device. */
import { describe, expect, test } from 'vitest';
import { blkWire, DISK_FEATURES, encodeDiskConfigSpace } from '../../../src/guest/disk.js';
import { native } from '../../../src/native/addon.js';

const header = native.wireConstants();

describe('the config space of a disk', () => {
  test.each(Object.entries(blkWire))('takes %s from the headers: %i', (name, value) => {
    expect(header[`BLK_${name}`]).toBe(value);
  });

  test.each([
    [4096, 0],
    [512, 3],
  ])('has every field where the header has it, with blocks of %i bytes', (blockBytes, exponent) => {
    const space = encodeDiskConfigSpace({ pageCount: 2 ** 33 + 1, blockBytes, serial: 'd' }, 16);
    const at = (field: string) => header[`BLK_CONFIG_${field}`] ?? -1;
    expect(space.readBigUInt64LE(at('capacity'))).toBe(8n * (2n ** 33n + 1n));
    expect(space.readUInt32LE(at('size_max'))).toBe(header.BLK_MAX_SEGMENT_BYTES);
    expect(space.readUInt32LE(at('seg_max'))).toBe(header.BLK_MAX_SEGMENTS);
    expect(space.readUInt32LE(at('blk_size'))).toBe(blockBytes);
    expect(space.readUInt8(at('physical_block_exp'))).toBe(exponent);
    expect(space.readUInt8(at('alignment_offset'))).toBe(0);
    expect(space.readUInt16LE(at('min_io_size')) * blockBytes).toBe(4096);
    expect(space.readUInt32LE(at('opt_io_size'))).toBe(0);
    expect(space.readUInt16LE(at('num_queues'))).toBe(16);
    expect(space.readUInt32LE(at('max_discard_sectors'))).toBe(header.BLK_MAX_RANGE_SECTORS);
    expect(space.readUInt32LE(at('max_discard_seg'))).toBe(header.BLK_MAX_RANGES);
    expect(space.readUInt32LE(at('discard_sector_alignment'))).toBe(8);
    expect(space.readUInt32LE(at('max_write_zeroes_sectors'))).toBe(header.BLK_MAX_RANGE_SECTORS);
    expect(space.readUInt32LE(at('max_write_zeroes_seg'))).toBe(header.BLK_MAX_RANGES);
    expect(space.readUInt8(at('write_zeroes_may_unmap'))).toBe(1);
  });

  test('offers exactly the features whose fields it fills', () => {
    expect(DISK_FEATURES).toBe(0b111_0110_0100_0110n);
  });
});
