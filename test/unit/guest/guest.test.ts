/** A guest over its sessions' lives, with a fake store and devices, and clocks that are told the time. */
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { GuestConfig } from '../../../src/config/config.js';
import { Guest } from '../../../src/guest/guest.js';
import { STOPPED_WARNING_MS } from '../../../src/guest/pools-keeper.js';
import type {
  DeviceOptions,
  FdConnection,
  FdListener,
  NativeAddon,
  NativeStore,
} from '../../../src/native/addon.js';
import { SETTLE_MS } from '../../../src/vhost-user/config-announcer.js';
import { OFFERED_FEATURES, OFFERED_PROTOCOL_FEATURES } from '../../../src/vhost-user/requests.js';
import { codedError, FakeConnection, FdLedger, message, NEED_REPLY, u32, u64 } from '../fakes/front-end.js';
import { FakeDevice, FakeStore } from '../fakes/native.js';

class FakeListener implements FdListener {
  #queue: FdConnection[] = [];
  #pending: { resolve: (c: FdConnection) => void; reject: (e: Error) => void } | undefined;

  connect(): FakeConnection {
    const connection = new FakeConnection();
    if (this.#pending) this.#pending.resolve(connection);
    else this.#queue.push(connection);
    this.#pending = undefined;
    return connection;
  }
  accept(): Promise<FdConnection> {
    const queued = this.#queue.shift();
    if (queued) return Promise.resolve(queued);
    return new Promise((resolve, reject) => {
      this.#pending = { resolve, reject };
    });
  }
  fail(code: string): void {
    this.#pending?.reject(codedError(code));
  }
  close(): void {
    this.fail('TMEMD_CLOSED');
  }
}

const config: GuestConfig = {
  name: 'web',
  endpoint: { path: '/s/web.sock', mode: 0o600 },
  weight: 100,
  capPages: 0,
  reservePages: 10,
  limitPages: 0,
  frozen: false,
  requestQueueCount: 1,
  maxPools: 64,
  orphanTimeoutMs: 0,
  maxPagesPerRequest: 64,
};

function rig(overrides: Partial<GuestConfig> = {}) {
  const store = new FakeStore();
  const ledger = new FdLedger();
  const devices: FakeDevice[] = [];
  const backend = new FakeConnection();
  const log: Record<string, unknown>[] = [];
  const native = {
    Device: class extends FakeDevice {
      constructor(_store: NativeStore, _guest: number, options: DeviceOptions) {
        super(ledger, options.onEvent);
        devices.push(this);
      }
    },
    closeFd: ledger.release,
    adoptSocket: (fd: number) => {
      ledger.release(fd);
      return { connection: backend };
    },
  } as unknown as NativeAddon;
  const logger = pino(
    { level: 'debug', base: null },
    { write: (line: string) => log.push(JSON.parse(line)) },
  );
  const guest = new Guest({ ...config, ...overrides }, native, store, logger);
  const listener = new FakeListener();
  const served = guest.serve({ listener });
  return { store, ledger, devices, backend, log, guest, listener, served };
}

function logged(log: Record<string, unknown>[], text: string) {
  return log.filter(({ msg }) => msg === text);
}

function negotiate(connection: FakeConnection): void {
  connection.send(message(16, u64(OFFERED_PROTOCOL_FEATURES)));
  connection.send(message(3));
  connection.send(message(2, u64(OFFERED_FEATURES)));
}

function startRing(connection: FakeConnection): void {
  connection.send(message(8, u32(0, 64)));
  connection.send(message(9, Buffer.concat([u32(0, 0), u64(0, 0, 0, 0)])));
  connection.send(message(12, u64(0x100)));
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

async function connected({ listener }: ReturnType<typeof rig>): Promise<FakeConnection> {
  const connection = listener.connect();
  negotiate(connection);
  await connection.idle();
  return connection;
}

/** Lets everything that waits for nothing but its turn run. */
const turns = () => vi.advanceTimersByTimeAsync(0);

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
    second.send(message(1));
    await second.reply(0);
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

  test('serves a new front end only once the pools of the one before are gone', async () => {
    const all = rig();
    let open = () => {};
    all.store.dropGate = new Promise((resolve) => {
      open = resolve;
    });
    (await connected(all)).end();
    await turns();
    const next = all.listener.connect();
    next.send(message(1));
    await vi.advanceTimersByTimeAsync(10_000);
    expect(all.guest.status().connectionsTotal).toBe(1);
    open();
    await next.reply(0);
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
    connection.send(message(21), [all.ledger.open()]);
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
