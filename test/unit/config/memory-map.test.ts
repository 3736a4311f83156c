/** What each guest may map of the process's address space. */
import { describe, expect, test } from 'vitest';
import { type Host, shareAddressSpace } from '../../../src/config/memory-map.js';
import { fakeConfig } from '../fakes/guest.js';

const TIB = 2 ** 40;
const host: Host = { memoryBytes: 2 ** 34, mappings: 65530 };

/** Guests that say so much, or nothing. */
function shares(given: (number | undefined)[], of = host) {
  const guests = given.map((memoryMapBytesMax, index) => ({
    ...fakeConfig,
    name: `guest${index}`,
    memoryMapBytesMax,
  }));
  return shareAddressSpace(guests, of);
}
const bytes = (given: (number | undefined)[], of = host) =>
  shares(given, of).map(({ memoryMapBytesMax }) => memoryMapBytesMax);
const regions = (guestCount: number, of = host) =>
  new Set(shares(Array(guestCount).fill(undefined), of).map(({ memoryRegionsMax }) => memoryRegionsMax));

describe('a guest may map', () => {
  test('what it says, or four times what the host has', () => {
    expect(bytes([TIB, undefined])).toEqual([TIB, 2 ** 36]);
    expect(bytes([])).toEqual([]);
  });

  test('its part of what the others leave, where that is less', () => {
    expect(bytes([32 * TIB - 8192, undefined, undefined])).toEqual([32 * TIB - 8192, 4096, 4096]);
    expect(bytes([undefined, undefined], { ...host, memoryBytes: 30 * TIB })).toEqual([16 * TIB, 16 * TIB]);
  });

  test('no more than all together may', () => {
    expect(bytes([30 * TIB, 2 * TIB])).toEqual([30 * TIB, 2 * TIB]);
    expect(() => bytes([30 * TIB, 3 * TIB])).toThrow(
      'guest.guest1.memory_map_max: "3TiB" is not allowed; allowed: 2TiB (of 32TiB for all guests together)',
    );
    expect(() => bytes([32 * TIB, undefined])).toThrow(
      'guest.*.memory_map_max: all of it is given away; allowed: less, so that',
    );
  });

  test('509 regions, or as many as half of the mappings allow when a table replaces another for each', () => {
    expect(regions(32)).toEqual(new Set([509]));
    expect(regions(33)).toEqual(new Set([496]));
    expect(regions(1024)).toEqual(new Set([15]));
    expect(regions(1, { ...host, mappings: 12 })).toEqual(new Set([3]));
    expect(regions(9, { ...host, mappings: 12 })).toEqual(new Set([1]));
  });
});
