/** The native store and device as JavaScript sees them: argument errors, idempotent closes, descriptors. */
import { openSync, readdirSync, readlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type DeviceEvent, type MemoryRegion, type NativeDevice, native } from '../../../src/native/addon.js';
import { loadAddon, packageRoot } from '../../../src/native/load.js';

let store: InstanceType<typeof native.Store>;
let device: NativeDevice;

beforeEach(() => {
  store = new native.Store({ capacityBytes: Math.max(native.minimumCapacityBytes(), 64 << 20) });
  const guest = store.addGuest({ name: 'g' });
  const onEvent = (_event: DeviceEvent) => {};
  device = new native.Device(store, guest, {
    maxPagesPerRequest: 64,
    queueCount: 3,
    memoryMapBytesMax: 2 ** 40,
    onEvent,
  });
});

afterEach(async () => {
  await device.close();
  store.close();
});

/** Of the files the tests hand over; what else the process opens meanwhile is its own affair. */
function openFdCount(): number {
  const handedOver = ['/dev/null', '/dev/zero', tmpdir()];
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return handedOver.includes(readlinkSync(`/proc/self/fd/${fd}`));
    } catch {
      return false; // the folder's own, closed by now
    }
  }).length;
}

function region(fd: number, change: Partial<MemoryRegion> = {}): MemoryRegion {
  return {
    guestPhysicalAddress: 0n,
    sizeBytes: 4096n,
    userspaceAddress: 0x1000n,
    mmapOffsetBytes: 0n,
    fd,
    ...change,
  };
}

describe('a device', () => {
  test('refuses what the front end cannot have, with a code, and closes its descriptor', async () => {
    const before = openFdCount();
    await expect(device.addMemoryRegion(region(openSync('/dev/null', 'r+')))).rejects.toMatchObject({
      code: 'TMEMD_FRONT_END',
    });
    await expect(
      device.setMemoryTable([region(openSync('/dev/zero', 'r'), { sizeBytes: 0n })]),
    ).rejects.toThrow(/its size is 0/);
    await expect(device.setKickFd(7, openSync(tmpdir(), 'r'))).rejects.toThrow('queue 7 of a device with 3');
    expect(openFdCount()).toBe(before);
  });

  test('names an argument of the wrong kind, and closes descriptors all the same', () => {
    const before = openFdCount();
    const file = () => openSync('/dev/null', 'r');
    expect(() => device.setMemoryTable([region(file()), region(file(), { sizeBytes: 1 as never })])).toThrow(
      /^sizeBytes must be a bigint/,
    );
    expect(() => device.setKickFd(-1, file())).toThrow(/^queueIndex must be an integer from 0 to 255/);
    expect(() => device.enableVring(0, 1 as never)).toThrow(/^enabled must be a boolean/);
    expect(() => new native.Device({} as never, 0, {} as never)).toThrow(/^store must be a Store/);
    expect(openFdCount()).toBe(before);
  });

  test('counts in as many buckets as it says, for every operation', () => {
    const counters = device.counters();
    expect(counters.latency.map(({ op }) => op)).toEqual(['put', 'get', 'flush', 'flush_object', 'control']);
    for (const { counts } of counters.latency)
      expect(counts).toHaveLength(counters.latencyBoundsNs.length + 1);
  });

  test('closes once, and refuses everything afterwards', async () => {
    const closing = device.close();
    expect(device.close()).toBe(closing);
    await expect(device.stopVring(0)).rejects.toMatchObject({ code: 'TMEMD_CLOSED' });
    await closing;
    await device.close();
    expect(() => device.counters()).toThrow(expect.objectContaining({ code: 'TMEMD_CLOSED' }));
  });
});

describe('a store', () => {
  test('refuses a configuration with a code and a wrong argument by name', () => {
    expect(() => new native.Store({ capacityBytes: 1 })).toThrow(
      expect.objectContaining({ code: 'TMEMD_CONFIG' }),
    );
    expect(() => new native.Store({ capacityBytes: 1.5 })).toThrow(/^capacityBytes must be an integer/);
    expect(() => store.addGuest({} as never)).toThrow(/^name must be a string/);
  });

  test('checks its invariants and is closed once', async () => {
    expect(await store.checkInvariants()).toBe('');
    store.close();
    store.close();
    expect(() => store.counters()).toThrow(expect.objectContaining({ code: 'TMEMD_CLOSED' }));
  });
});

describe('the loader', () => {
  test('finds the package from sources and from what is compiled', () => {
    const root = packageRoot();
    expect(packageRoot(`${root}/dist/src/native`)).toBe(root);
  });

  test('says how to build what is missing, in one line', () => {
    expect(() => loadAddon('nothing')).toThrow(/^[^\n]*nothing\.node is missing: run `npm run build` first$/);
  });
});
