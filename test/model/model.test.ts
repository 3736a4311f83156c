/**
 * Long random sequences of every operation, from several guests and queues,
 * against the real service and a model of what it may answer.
 *
 * A failure names its seed: TMEMD_SEED=n repeats the sequence (not the timing).
 * TMEMD_BATCHES makes runs longer.
 */
import { afterEach, describe, expect, test } from 'vitest';
import { PAGE_BYTES } from '../mock/guest.js';
import { Service, type ServiceSettings } from '../mock/service.js';
import { Contents } from './contents.js';
import { ModelGuest, type ModelGuestSettings, type Tally } from './model-guest.js';
import { Random } from './random.js';

const BATCHES = Number(process.env.TMEMD_BATCHES ?? 1500);
const LOOK_EVERY = 60;
const CONTENT_COUNT = 1500;

let service: Service | undefined;
afterEach(async () => {
  await service?.stop();
  service = undefined;
});

type Kind = Partial<ModelGuestSettings>;

async function start(settings: ServiceSettings, kinds: Record<string, Kind>, random: Random) {
  service = await Service.start(settings);
  const running = service;
  const contents = await Contents.make(random, CONTENT_COUNT);
  const guests = Object.entries(kinds).map(([name, kind]) => {
    const all: ModelGuestSettings = {
      name,
      socket: running.socket(name),
      queues: 2,
      eventIdx: true,
      byInterrupt: false,
      reservePages: 0,
      mayRefuse: false,
      mayEvict: false,
      outlives: false,
      recentPages: 300,
      ...kind,
    };
    return new ModelGuest(all, random, contents);
  });
  return { service: running, contents, guests };
}

/** What must hold whenever nothing is in flight. */
async function expectAddsUp(running: Service, guests: ModelGuest[]): Promise<void> {
  expect(await running.admin.check()).toEqual({ ok: true, problem: '' });
  const store = await running.admin.store();
  expect(store.usedBytes).toBeLessThanOrEqual(store.capacityBytes);
  expect(store.dataBytes + store.slackBytes + store.metadataBytes).toBe(store.usedBytes);
  expect(store.corruptTotal).toBe(0);
  for (const guest of guests) {
    const { counters } = await running.admin.guest(guest.settings.name);
    expect(counters.persistentPages, guest.settings.name).toBe(guest.persistentPages);
    expect(counters.ephemeralPages).toBeLessThanOrEqual(guest.ephemeralPagesAtMost);
    if (counters.capPages > 0) expect(counters.pages).toBeLessThanOrEqual(counters.capPages);
    if (counters.persistentLimitPages > 0)
      expect(counters.persistentPages).toBeLessThanOrEqual(counters.persistentLimitPages);
    expect(counters.putsGoodTotal).toBe(guest.tally.putsGood);
    expect(counters.getsFoundTotal).toBe(guest.tally.getsFound);
    if (!guest.settings.mayEvict) expect(counters.evictedTotal).toBe(0);
  }
}

async function run(running: Service, guests: ModelGuest[], random: Random): Promise<void> {
  for (let batch = 1; batch <= BATCHES; batch += 1) {
    const guest = random.pick(guests);
    guest.batch();
    if (random.chance(0.1)) guest.control();
    if (random.chance(0.01)) {
      guest.frozen = !guest.frozen;
      await running.admin.tune(guest.settings.name, { frozen: guest.frozen });
    }
    if (batch % LOOK_EVERY === 0) await expectAddsUp(running, guests);
  }
  for (const guest of guests) {
    guest.checkHeld();
    guest.checkEveryPage();
  }
  await expectAddsUp(running, guests);
}

/** In the end nothing is left of what nobody holds. */
async function expectEmptiedBy(running: Service, guests: ModelGuest[]): Promise<void> {
  for (const guest of guests) guest.flushAll();
  await expectAddsUp(running, guests);
  const store = await running.admin.store();
  expect(store.logicalBytes).toBe(0);
  expect(store.dataBytes).toBe(0);
  for (const guest of guests) guest.close();
  expect(running.noise).toEqual([]);
}

describe('random operations', () => {
  test('in a roomy store lose nothing, refuse nothing, and cost what their contents are worth', async () => {
    const random = Random.announced('roomy store');
    const settings: ServiceSettings = {
      memory: '512MiB',
      settling: false,
      guests: {
        left: { queues: 2, group: 'twins' },
        right: { queues: 3, group: 'twins', orphan_timeout: '1h' },
        alone: { queues: 1 },
      },
    };
    const kinds = {
      left: {},
      right: { queues: 3, byInterrupt: true, outlives: true },
      alone: { queues: 1, eventIdx: false },
    };
    const { service: running, contents, guests } = await start(settings, kinds, random);
    await run(running, guests, random);
    await expectWorth(running, contents, guests);
    await expectEmptiedBy(running, guests);
  });

  test('in a tiny store refuse and drop only where the contract lets them', async () => {
    const random = Random.announced('tiny store');
    const settings: ServiceSettings = {
      memory: '6MiB',
      guests: {
        reserved: { queues: 2, reserve: '1MiB' },
        limited: { queues: 2, limit: '2MiB', group: 'twins' },
        capped: { queues: 1, cap: '3MiB', weight: 300, orphan_timeout: '1h', group: 'twins' },
      },
    };
    const tiny = { mayRefuse: true, mayEvict: true };
    const kinds = {
      reserved: { ...tiny, reservePages: 256 },
      limited: { ...tiny, byInterrupt: true },
      capped: { ...tiny, queues: 1, eventIdx: false, outlives: true },
    };
    const { service: running, guests } = await start(settings, kinds, random);
    await run(running, guests, random);
    const sum = (of: (guest: ModelGuest) => number) => guests.reduce((total, guest) => total + of(guest), 0);
    const missed = sum(({ tally }) => tally.missesOld + tally.missesRecent);
    const { evictionsTotal } = await running.admin.store();
    expect(
      sum(({ tally }) => tally.putsRefused),
      'the store was too small',
    ).toBeGreaterThan(0);
    expect(missed, 'and had to drop pages').toBeGreaterThan(0);
    expect(missed, 'every page missed was dropped for room').toBeLessThanOrEqual(evictionsTotal);
    expectOldestFirst(guests.map(({ tally }) => tally));
    await expectEmptiedBy(running, guests);
  });
});

/** What was put last is found more often than what was put before it. */
function expectOldestFirst(tallies: Tally[]): void {
  const sum = (of: (tally: Tally) => number) => tallies.reduce((total, tally) => total + of(tally), 0);
  const share = (hits: number, misses: number) => hits / (hits + misses);
  const recent = share(
    sum(({ hitsRecent }) => hitsRecent),
    sum(({ missesRecent }) => missesRecent),
  );
  const old = share(
    sum(({ hitsOld }) => hitsOld),
    sum(({ missesOld }) => missesOld),
  );
  process.stdout.write(
    `tiny store: found ${(recent * 100).toFixed(0)} % of recent and ${(old * 100).toFixed(0)} % of older ephemeral pages\n`,
  );
  expect(recent).toBeGreaterThan(old);
}

/** The store's bytes against npm's LZ4 of the same pages, shared where they may be. */
async function expectWorth(running: Service, contents: Contents, guests: ModelGuest[]): Promise<void> {
  const shared = new Map<string, Set<bigint>>();
  let ephemeralBytes = 0;
  let pages = 0;
  for (const guest of guests) {
    const domain = guest.settings.name === 'alone' ? 'alone' : 'twins';
    const held = shared.get(domain) ?? new Set();
    shared.set(domain, held);
    for (const pool of guest.pools) {
      for (const { hash } of pool.pages()) {
        pages += 1;
        const content = contents.byHash(hash);
        if (content.repeated) continue;
        if (pool.persistent) held.add(hash);
        else ephemeralBytes += content.lz4Bytes;
      }
    }
  }
  let worthBytes = ephemeralBytes;
  for (const held of shared.values()) for (const hash of held) worthBytes += contents.byHash(hash).lz4Bytes;
  const store = await running.admin.store();
  process.stdout.write(
    `roomy store: ${pages} pages, data ${store.dataBytes} bytes, npm's LZ4 ${worthBytes} bytes\n`,
  );
  expect(store.logicalBytes).toBe(pages * PAGE_BYTES);
  expect(store.dataBytes).toBeGreaterThan(0.85 * worthBytes);
  expect(store.dataBytes).toBeLessThan(1.15 * worthBytes);
}
