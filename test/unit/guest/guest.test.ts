/** A guest over its sessions' lives, with a fake store and devices, and clocks that are told the time. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { STOPPED_WARNING_MS } from '../../../src/guest/pools-keeper.js';
import { SETTLE_MS } from '../../../src/vhost-user/config-announcer.js';
import { FakeConnection, message, NEED_REPLY, u32, u64 } from '../fakes/front-end.js';
import { connected, giveMemory, logged, negotiate, rig, startRing, turns } from '../fakes/guest.js';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('a guest', () => {
  test('is added to the store with its settings', () => {
    const { store } = rig({ group: 'tenant', capPages: 50, limitPages: 20, frozen: true, numaNode: 1 });
    expect(store.guests[0]?.options).toEqual({
      name: 'web',
      dedupGroup: 'tenant',
      weight: 100,
      capPages: 50,
      persistentReservePages: 10,
      persistentLimitPages: 20,
      frozen: true,
      maxPools: 64,
      numaNode: 1,
    });
  });

  test('is absent, connected, running and absent again', async () => {
    const all = rig();
    expect(all.guest.status().state).toBe('absent');
    const connection = await connected(all);
    expect(all.guest.status()).toMatchObject({ state: 'connected', peerPid: 4242, connectionsTotal: 1 });
    startRing(connection);
    await connection.idle();
    expect(all.guest.status()).toMatchObject({
      state: 'running',
      rings: [{ index: 0, size: 64, started: true, enabled: false }],
    });
    connection.end();
    await turns();
    expect(all.guest.status()).toMatchObject({ state: 'absent', peerPid: null, rings: [] });
    expect(all.devices[0]?.closedTimes).toBe(1);
  });

  test('refuses a second front end and serves the first on', async () => {
    const all = rig();
    const first = await connected(all);
    const second = all.listener.connect();
    await vi.advanceTimersByTimeAsync(1000);
    expect(second.closed).toBe(true);
    expect(first.closed).toBe(false);
    expect(all.guest.status()).toMatchObject({ connectionsTotal: 1, connectionsRefusedTotal: 1 });
    first.send(message(1));
    await first.reply(0);
  });

  test('takes a front end that connects while the end of the one before is still on its way', async () => {
    const all = rig();
    const first = await connected(all);
    const second = all.listener.connect();
    await turns();
    first.end();
    await turns();
    negotiate(second);
    giveMemory(second, all.ledger);
    await second.idle();
    expect(all.guest.status()).toMatchObject({ connectionsTotal: 2, connectionsRefusedTotal: 0 });
  });

  test('logs one line about a front end that misbehaves, with the reason', async () => {
    const all = rig();
    const connection = await connected(all);
    connection.send(message(99));
    await turns();
    expect(logged(all.log, 'connection closed: front end misbehaved')).toEqual([
      expect.objectContaining({
        guest: 'web',
        peerPid: 4242,
        error: 'request 99, which was not offered',
        level: 40,
      }),
    ]);
    expect(all.guest.status()).toMatchObject({ state: 'absent', frontEndErrorsTotal: 1 });
  });

  test('drops its pools at once when the connection closes', async () => {
    const all = rig();
    (await connected(all)).end();
    await turns();
    expect(all.store.droppedTimes).toBe(1);
  });

  test('drops its pools when its orphan timeout has passed, not before', async () => {
    const all = rig({ orphanTimeoutMs: 30_000 });
    (await connected(all)).end();
    await vi.advanceTimersByTimeAsync(29_999);
    expect(all.guest.status().state).toBe('orphaned');
    expect(all.store.droppedTimes).toBe(0);
    await vi.advanceTimersByTimeAsync(1);
    expect(all.store.droppedTimes).toBe(1);
    expect(all.guest.status().state).toBe('absent');
  });

  test('keeps its pools when a front end is back before the orphan timeout', async () => {
    const all = rig({ orphanTimeoutMs: 30_000 });
    (await connected(all)).end();
    await vi.advanceTimersByTimeAsync(20_000);
    await connected(all);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(all.store.droppedTimes).toBe(0);
  });

  test('gives its device to a new front end only once the pools of the one before are gone', async () => {
    const all = rig();
    let open = () => {};
    all.store.dropGate = new Promise((resolve) => {
      open = resolve;
    });
    (await connected(all)).end();
    await turns();
    const next = all.listener.connect();
    negotiate(next);
    giveMemory(next, all.ledger);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(all.devices).toHaveLength(1);
    open();
    await next.idle();
    expect(all.devices).toHaveLength(2);
    expect(all.store.droppedTimes).toBe(1);
  });

  test('warns once when its rings have been stopped for long with pages held', async () => {
    const all = rig();
    const connection = await connected(all);
    startRing(connection);
    connection.send(message(11, u32(0, 0)));
    await connection.idle();
    all.store.guest(0).counters.pages = 7;
    await vi.advanceTimersByTimeAsync(STOPPED_WARNING_MS - 1);
    expect(logged(all.log, 'rings stopped for long, pools kept')).toHaveLength(0);
    await vi.advanceTimersByTimeAsync(10 * STOPPED_WARNING_MS);
    expect(logged(all.log, 'rings stopped for long, pools kept')).toEqual([
      expect.objectContaining({ pages: 7 }),
    ]);
    expect(all.store.droppedTimes).toBe(0);
  });

  test('does not warn of rings that were started again', async () => {
    const all = rig();
    const connection = await connected(all);
    startRing(connection);
    connection.send(message(11, u32(0, 0)));
    startRing(connection);
    await connection.idle();
    all.store.guest(0).counters.pages = 7;
    await vi.advanceTimersByTimeAsync(10 * STOPPED_WARNING_MS);
    expect(logged(all.log, 'rings stopped for long, pools kept')).toHaveLength(0);
  });

  test('sums device counters over its sessions and never goes back', async () => {
    const all = rig();
    expect(all.guest.status().device).toBeNull();
    const totals: number[] = [];
    for (let life = 0; life < 3; life += 1) {
      const connection = await connected(all);
      const device = all.devices[life];
      if (!device) throw new Error('no device');
      device.totals.requestsTotal = 5;
      device.totals.latency = [{ op: 'get', counts: [1, 2, 3], sumNs: 10 }];
      totals.push(all.guest.status().device?.requestsTotal ?? -1);
      connection.end();
      await turns();
      totals.push(all.guest.status().device?.requestsTotal ?? -1);
    }
    expect(totals).toEqual([5, 5, 10, 10, 15, 15]);
    expect(all.guest.status().device?.latency).toEqual([{ op: 'get', counts: [3, 6, 9], sumNs: 30 }]);
  });

  test('tells the driver when its limit or target changed, and only then', async () => {
    const all = rig();
    const connection = await connected(all);
    connection.send(message(21), [all.ledger.open('unix-stream')]);
    startRing(connection);
    connection.send(message(18, u32(0, 1)));
    await connection.idle();
    await vi.advanceTimersByTimeAsync(SETTLE_MS);
    const answered = async () => {
      await turns();
      all.backend.send(message(2, u64(0), 0x4));
      await turns();
    };
    all.guest.tune({ weight: 5, frozen: true, capPages: 100 });
    await turns();
    expect(all.backend.written).toHaveLength(0);
    all.guest.tune({ limitPages: 50 });
    await answered();
    all.guest.tune({ targetPages: 20 });
    await answered();
    all.guest.tune({ targetPages: 20 });
    await turns();
    all.guest.tune({ targetPages: null });
    await answered();
    expect(all.backend.written).toEqual(Array(3).fill(message(2, Buffer.alloc(0), NEED_REPLY)));
    const noTarget = 2n ** 64n - 1n;
    expect(all.devices[0]?.told).toEqual([
      [0n, noTarget],
      [50n, noTarget],
      [50n, 20n],
      [50n, noTarget],
    ]);
    expect(all.guest.status().counters).toMatchObject({
      weight: 5,
      frozen: 1,
      capPages: 100,
      persistentLimitPages: 50,
    });
  });

  test('refuses a limit below its reserve and changes nothing', () => {
    const all = rig();
    expect(() => all.guest.tune({ weight: 7, limitPages: 9 })).toThrow(
      'guest.web.limit: "36KiB" is not allowed; allowed: none, or at least the reserve (40KiB)',
    );
    expect(all.guest.status().counters).toMatchObject({ weight: 100, persistentLimitPages: 0 });
  });

  test('drops the pools of a running guest only when forced', async () => {
    const all = rig();
    const connection = await connected(all);
    startRing(connection);
    await connection.idle();
    await expect(all.guest.drop(false)).rejects.toThrow('guest web is running and would lose its pages');
    expect(all.store.droppedTimes).toBe(0);
    await all.guest.drop(true);
    expect(all.store.droppedTimes).toBe(1);
  });

  test('goes on accepting after an accept that failed', async () => {
    const all = rig();
    await turns();
    all.listener.fail('EMFILE');
    await vi.advanceTimersByTimeAsync(1000);
    await connected(all);
    expect(logged(all.log, 'cannot accept front ends')).toHaveLength(1);
  });

  test('closes its session and its socket, once, and is served no more', async () => {
    const all = rig();
    const connection = await connected(all);
    await Promise.all([all.guest.close(), all.guest.close()]);
    await all.served;
    expect(connection.closed).toBe(true);
    expect(all.devices[0]?.closedTimes).toBe(1);
    expect(all.ledger.unbalanced()).toEqual([]);
    expect(all.store.droppedTimes).toBe(0);
  });

  test('of a lone connection is served until that ends', async () => {
    const { guest } = rig();
    const connection = new FakeConnection();
    const served = guest.serve({ connection });
    connection.end();
    await served;
    expect(guest.status().state).toBe('absent');
  });
});
