/** What the driver reads, against the layout of the wire header. */
import { describe, expect, test } from 'vitest';
import { encodeConfigSpace, wire } from '../../../src/guest/config-space.js';
import { native } from '../../../src/native/addon.js';

const header = native.wireConstants();
const config = {
  requestQueueCount: 4,
  maxPagesPerRequest: 64,
  maxPools: 65535,
  reservePages: 2 ** 40 + 1,
  limitPages: 2 ** 41 + 2,
  targetPages: 2 ** 42 + 3,
};

describe('the config space', () => {
  test.each(Object.entries(wire))('takes %s from the wire header: %i', (name, value) => {
    expect(header[name]).toBe(value);
  });

  test('has every field where the wire header has it', () => {
    const space = encodeConfigSpace(config);
    const at = (field: string) => header[`CONFIG_${field}`] ?? -1;
    expect(space.length).toBe(header.SIZEOF_CONFIG);
    expect(space.readUInt32LE(at('magic'))).toBe(header.MAGIC);
    expect(space.readUInt16LE(at('version'))).toBe(header.VERSION);
    expect(space.readUInt16LE(at('num_request_queues'))).toBe(4);
    expect(space.readUInt32LE(at('capabilities'))).toBe(0b11011);
    expect(space.readUInt32LE(at('page_shift_mask'))).toBe(1 << 12);
    expect(space.readUInt16LE(at('max_pages_per_request'))).toBe(64);
    expect(space.readUInt16LE(at('max_pools'))).toBe(65535);
    expect(space.readBigUInt64LE(at('persistent_reserve'))).toBe(2n ** 40n + 1n);
    expect(space.readBigUInt64LE(at('persistent_limit'))).toBe(2n ** 41n + 2n);
    expect(space.readBigUInt64LE(at('persistent_target'))).toBe(2n ** 42n + 3n);
  });

  test('says all ones where the host has no wish', () => {
    const space = encodeConfigSpace({ ...config, targetPages: undefined });
    expect(space.readBigUInt64LE(header.CONFIG_persistent_target ?? -1)).toBe(2n ** 64n - 1n);
  });
});
