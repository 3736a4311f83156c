/** The codecs against encoders written from the specification, over random fields. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  decodeConfigRange,
  decodeMemoryRegion,
  decodeMemoryTable,
  decodeU64,
  decodeVringAddresses,
  decodeVringFd,
  decodeVringState,
  encodeConfigRange,
  encodeU64,
  encodeVringState,
} from '../../../src/vhost-user/payloads.js';
import { ProtocolError } from '../../../src/vhost-user/protocol-error.js';
import { region, u32, u64 } from '../fakes/front-end.js';

const anyU64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const anyU32 = fc.integer({ min: 0, max: 0xffffffff });
const anyRegion = fc.record({
  guestPhysicalAddress: anyU64,
  sizeBytes: anyU64,
  userspaceAddress: anyU64,
  mmapOffsetBytes: anyU64,
});

describe('payloads', () => {
  test('of one word keep all of its 64 bits', () => {
    fc.assert(
      fc.property(anyU64, (value) => {
        expect(encodeU64(value)).toEqual(u64(value));
        expect(decodeU64(u64(value))).toBe(value);
      }),
    );
  });

  test('of a ring state are its index and a value', () => {
    fc.assert(
      fc.property(anyU32, anyU32, (index, value) => {
        expect(encodeVringState({ index, value })).toEqual(u32(index, value));
        expect(decodeVringState(u32(index, value))).toEqual({ index, value });
      }),
    );
  });

  test('of ring addresses are descriptor, used, available, log, in that order', () => {
    fc.assert(
      fc.property(anyU32, anyU64, anyU64, anyU64, anyU64, (index, descriptor, used, available, log) => {
        const payload = Buffer.concat([u32(index, 0), u64(descriptor, used, available, log)]);
        expect(decodeVringAddresses(payload)).toEqual({
          index,
          descriptorAddress: descriptor,
          usedAddress: used,
          availableAddress: available,
        });
      }),
    );
  });

  test('of a ring descriptor agree with the descriptors that came, or are refused', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 255 }),
        fc.boolean(),
        fc.nat({ max: 3 }),
        (index, noFd, fdCount) => {
          const payload = u64(index | (noFd ? 0x100 : 0));
          if (fdCount === (noFd ? 0 : 1)) expect(decodeVringFd(payload, fdCount)).toEqual({ index });
          else expect(() => decodeVringFd(payload, fdCount)).toThrow(ProtocolError);
        },
      ),
    );
  });

  test('of memory are as many regions as announced, with a descriptor each, or are refused', () => {
    fc.assert(
      fc.property(
        fc.array(anyRegion, { maxLength: 8 }),
        anyU32,
        fc.nat({ max: 9 }),
        (regions, count, fdCount) => {
          const body = Buffer.concat(regions.map(region));
          const honest = Buffer.concat([u32(regions.length, 0), body]);
          expect(decodeMemoryTable(honest, regions.length)).toEqual(regions);
          if (fdCount !== regions.length)
            expect(() => decodeMemoryTable(honest, fdCount)).toThrow(ProtocolError);
          const lying = Buffer.concat([u32(count, 0), body]);
          if (count !== regions.length) expect(() => decodeMemoryTable(lying, count)).toThrow(ProtocolError);
        },
      ),
    );
    fc.assert(
      fc.property(anyU64, anyRegion, (padding, one) => {
        expect(decodeMemoryRegion(Buffer.concat([u64(padding), region(one)]))).toEqual(one);
      }),
    );
  });

  test('of config space survive there and back, and lie about their size in vain', () => {
    const contents = fc.uint8Array({ maxLength: 256 }).map((bytes) => Buffer.from(bytes));
    fc.assert(
      fc.property(
        anyU32,
        anyU32,
        contents,
        fc.integer({ min: 1, max: 300 }),
        (offset, flags, bytes, extra) => {
          const range = { offset, sizeBytes: bytes.length, flags };
          const payload = Buffer.concat([u32(offset, bytes.length, flags), bytes]);
          expect(encodeConfigRange(range, bytes)).toEqual(payload);
          expect(decodeConfigRange(payload)).toEqual(range);
          const lying = Buffer.concat([u32(offset, bytes.length + extra, flags), bytes]);
          expect(() => decodeConfigRange(lying)).toThrow(ProtocolError);
        },
      ),
    );
  });
});
