/**
 * One service after the other on an arena file: killed in the middle of requests, stopped in good
 * order, or started where it must not.
 */
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Blk, BlkGuest, SECTOR_BYTES } from '../mock/blk-guest.js';
import { FrontEnd } from '../mock/front-end.js';
import { Guest, PAGE_BYTES } from '../mock/guest.js';
import { wire } from '../mock/mock.js';
import { Service, type ServiceSettings } from '../mock/service.js';
import { Random } from './random.js';

const KILLS = 6;
const DISK_PAGES = 1024;
const QUEUES = 2;
const DEPTH = 16;
const settings = {
  memory: '64MiB',
  guests: {
    disk: { personality: 'blk', size: '4MiB', queues: QUEUES },
    web: { reserve: '1MiB', orphan_timeout: 'never' },
  },
};

let folder = '';
let arena = '';
let service: Service | undefined;
const guests: (BlkGuest | Guest)[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tmemd-'));
  arena = join(mkdtempSync('/dev/shm/tmemd-'), 'arena');
});
afterEach(async () => {
  for (const guest of guests.splice(0)) guest instanceof BlkGuest ? guest.close() : guest.frontEnd.close();
  await service?.stop();
  service = undefined;
  for (const made of [folder, join(arena, '..')]) rmSync(made, { recursive: true, force: true });
});

async function start(changes: Partial<ServiceSettings> = {}): Promise<Service> {
  service = await Service.start({ ...settings, folder, arena, ...changes });
  return service;
}

/** What a service that must not start says. */
async function refusal(changes: Partial<ServiceSettings> = {}): Promise<string> {
  const started = await start(changes).catch((error: Error) => error.message);
  return typeof started === 'string' ? started : 'started';
}

function connect<T extends BlkGuest | Guest>(guest: T): T {
  guests.push(guest);
  return guest;
}

/** A page that LZ4 can shrink, unlike any other's. */
function pageOf(random: Random): Buffer {
  return Buffer.alloc(PAGE_BYTES, `row ${random.next()}, ${random.next()}; `);
}

/** One that it can shrink, or one that it cannot. */
function contentOf(random: Random): Buffer {
  return random.chance(0.5) ? pageOf(random) : randomBytes(PAGE_BYTES);
}

const get = (pool: number, index: number) => ({ op: wire.OP_GET, pool, index, nrPages: 1 });

describe('with an arena file', () => {
  test('a disk goes on where it stood when the service is killed in the middle of requests', {
    timeout: 300_000,
  }, async () => {
    const random = Random.announced('killed');
    let running = await start();
    const guest = connect(new BlkGuest(running.socket('disk'), { queues: QUEUES, slots: DEPTH }));
    const pages: Buffer[] = Array.from({ length: DISK_PAGES }, () => Buffer.alloc(PAGE_BYTES));
    for (let kill = 0; kill < KILLS; kill += 1) {
      const atOnce: { head: number; queue: number }[] = [];
      for (let queue = 0; queue < QUEUES; queue += 1) {
        for (let i = 0; i < DEPTH; i += 1) {
          // Each queue has pages of its own: between queues there is no order.
          const page = random.below(DISK_PAGES / QUEUES) * QUEUES + queue;
          const data = random.chance(0.1) ? Buffer.alloc(PAGE_BYTES) : pageOf(random);
          pages[page] = data;
          const sector = (page * PAGE_BYTES) / SECTOR_BYTES;
          atOnce.push({ head: guest.submit(queue, { type: Blk.OUT, sector, data }), queue });
        }
        guest.publish(queue);
      }
      // Some of them first, so that it is killed with part of the ring returned.
      let returned = 0;
      for (const target = random.below(atOnce.length); returned < target; returned += 1)
        expect(guest.next(returned % QUEUES).status).toBe(Blk.OK);
      await running.kill();
      running = await start();
      expect(running.log.some(({ msg }) => msg === 'arena taken over')).toBe(true);
      guest.reconnect(running.socket('disk'));
      for (; returned < atOnce.length; returned += 1)
        expect(guest.next(returned % QUEUES).status, `kill ${kill}, request ${returned}`).toBe(Blk.OK);
      expect(await running.admin.check()).toEqual({ ok: true, problem: '' });
    }
    pages.forEach((page, number) => {
      const read = guest.read(number % QUEUES, (number * PAGE_BYTES) / SECTOR_BYTES, PAGE_BYTES);
      expect(read.data.equals(page), `page ${number}`).toBe(true);
    });
    expect(running.log.some(({ msg }) => msg === 'disk begins, all zeros')).toBe(false);
  });

  test('a full disk in the smallest store that takes it goes on after a stop, and after a kill', async () => {
    const guestSettings = { guests: { disk: { personality: 'blk', size: '4MiB' } } };
    const SPAN_BYTES = 65536;
    let memoryBytes = DISK_PAGES * PAGE_BYTES;
    const sizes = () => ({ ...guestSettings, memory: `${memoryBytes}B` });
    while ((await refusal(sizes())) !== 'started') memoryBytes += 4 * SPAN_BYTES;
    await service?.stop();
    rmSync(arena);
    for (memoryBytes -= 3 * SPAN_BYTES; (await refusal(sizes())) !== 'started'; memoryBytes += SPAN_BYTES);
    let running = service as Service;
    const random = Random.announced('smallest');
    const guest = connect(new BlkGuest(running.socket('disk')));
    const sectorOf = (page: number) => (page * PAGE_BYTES) / SECTOR_BYTES;
    // Some that compress and some that do not, and half of them replaced by the other kind.
    const pages = Array.from({ length: DISK_PAGES }, () => contentOf(random));
    for (let number = 0; number < DISK_PAGES * 1.5; number += 1) {
      const page = number % DISK_PAGES;
      if (number >= DISK_PAGES) pages[page] = contentOf(random);
      expect(guest.write(0, sectorOf(page), pages[page] ?? Buffer.alloc(0)).status).toBe(Blk.OK);
    }
    for (const end of ['stop', 'kill'] as const) {
      await running[end]();
      running = await start(sizes());
      guest.reconnect(running.socket('disk'));
      pages.forEach((page, number) => {
        const read = guest.read(0, sectorOf(number), PAGE_BYTES);
        expect(read.data.equals(page), `page ${number} after a ${end}`).toBe(true);
      });
      expect(await running.admin.check()).toEqual({ ok: true, problem: '' });
    }
  });

  test("a guest's persistent pages outlive a stop, and its driver finds them by its session", async () => {
    const random = Random.announced('stopped');
    let running = await start();
    const first = connect(new Guest(running.socket('web')));
    const session = first.request(0, { op: wire.OP_RESET }).value;
    const pool = Number(
      first.request(0, { op: wire.OP_POOL_CREATE, flags: wire.POOL_PERSISTENT, index: 12 }).value,
    );
    const data = Array.from({ length: 100 }, () => pageOf(random));
    data.forEach((page, index) => {
      expect(first.request(1, { ...get(pool, index), op: wire.OP_PUT }, page).status).toBe(wire.S_OK);
    });
    expect(await running.stop()).toEqual({ code: 0, signal: null });

    running = await start();
    expect((await running.admin.guest('web')).state).toBe('orphaned');
    const second = connect(new Guest(running.socket('web')));
    expect(second.request(0, { op: wire.OP_ATTACH, oid: [session, 0n, 0n] }).status).toBe(wire.S_OK);
    data.forEach((page, index) => {
      expect(second.request(1, get(pool, index)).data.equals(page), `page ${index}`).toBe(true);
    });
    expect(second.request(0, { op: wire.OP_RESET }).status).toBe(wire.S_OK);
    expect((await running.admin.guest('web')).counters.pages).toBe(0);
  });

  test('whoever connects and does not take the device leaves the pages that were kept', async () => {
    const random = Random.announced('probed');
    const kept = { web: { reserve: '1MiB' }, disk: settings.guests.disk };
    let running = await start({ guests: kept });
    const guest = connect(new Guest(running.socket('web')));
    guest.reset();
    const pool = guest.createPool(true);
    for (let index = 0; index < 100; index += 1)
      expect(guest.put(1, { pool, oid: [7n, 0n, 0n], index }, pageOf(random)).status).toBe(wire.S_OK);
    await running.kill();
    running = await start({ guests: kept });
    const path = running.socket('web');
    await new Promise<void>((resolve) => {
      const probe = createConnection(path, () => probe.end(resolve));
    });
    const asking = new FrontEnd(path);
    asking.negotiate({ eventIdx: true });
    asking.close();
    await expect(Service.start({ ...settings, guests: kept, folder })).rejects.toThrow(
      'no other process listens',
    );
    expect((await running.ctl('guest', 'show', 'web')).stdout).toMatch(/^state +orphaned$/m);
    expect(await running.admin.guest('web')).toMatchObject({ connectionsTotal: 0, counters: { pages: 100 } });
    // Who takes the device and leaves is its guest: its pages go, as its orphan_timeout says.
    new Guest(path).close();
    await expect.poll(async () => (await running.admin.guest('web')).counters.pages).toBe(0);
  });

  test('a second service on it is refused, and the first goes on', async () => {
    const first = await start();
    const other = mkdtempSync(join(tmpdir(), 'tmemd-'));
    expect(await refusal({ folder: other })).toContain(
      `store.arena: ${JSON.stringify(arena)}: arena: another store has it`,
    );
    rmSync(other, { recursive: true });
    service = first;
    expect(await first.admin.check()).toEqual({ ok: true, problem: '' });
  });

  test('settings it was not made with are refused by name, and nothing is lost by it', async () => {
    let running = await start();
    const guest = connect(new BlkGuest(running.socket('disk')));
    expect(guest.write(0, 8, Buffer.alloc(PAGE_BYTES, 'kept')).status).toBe(Blk.OK);
    await running.stop();
    const { web, disk } = settings.guests;
    expect(await refusal({ memory: '32MiB' })).toContain(
      'store.memory: "32MiB" is not allowed; allowed: 67108864 bytes (64MiB)',
    );
    expect(await refusal({ guests: { web } })).toContain(
      `store.arena: ${JSON.stringify(arena)} holds 1 pages of a guest "disk"; allowed: with [guest.disk] configured`,
    );
    expect(await refusal({ guests: { web, disk: { ...disk, size: '8MiB' } } })).toContain(
      'guest disk: reserve in pages 2048: in the arena it is 1024',
    );
    // A guest without pages may go, and its memory with it.
    running = await start({ guests: { disk } });
    expect(guest.reconnect(running.socket('disk'))).toBeUndefined();
    expect(guest.read(0, 8, PAGE_BYTES).data).toEqual(Buffer.alloc(PAGE_BYTES, 'kept'));
  });

  test('a file that is no arena, that others may read, or that is not memory is refused and left alone', async () => {
    writeFileSync(arena, 'precious', { mode: 0o600 });
    expect(await refusal()).toContain(`store.arena: ${JSON.stringify(arena)}: arena of 8 bytes: too small`);
    expect(statSync(arena).size).toBe(8);
    chmodSync(arena, 0o640);
    expect(await refusal()).toContain("allowed: a file of this user's that nobody else may read (mode 0600)");
    expect(await refusal({ memory: '1024G' })).toContain(
      'allowed: a file on a tmpfs with room for store.memory (1TiB',
    );
    expect(await refusal({ arena: join(arena, 'below') })).toMatch(
      /allowed: a file on a tmpfs .*\(ENOTDIR\)/,
    );
    expect(await refusal({ arena: '/proc/arena' })).toContain('allowed: a file on a tmpfs, such as /dev/shm');
  });

  test('a new one goes again when the service cannot start', async () => {
    expect(await refusal({ guests: { web: { reserve: '1G' } } })).toContain('guest web: reserve of');
    expect(readdirSync(dirname(arena))).toEqual([]);
  });

  test('one that was never finished is refused', async () => {
    writeFileSync(arena, '', { mode: 0o600 });
    truncateSync(arena, 1 << 20);
    expect(await refusal()).toContain("arena: it does not start with an arena's magic word");
  });
});
