/** Who has a guest's device, and what those change who never took it: nothing. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { message, u32, u64 } from '../fakes/front-end.js';
import { connected, giveMemory, logged, negotiate, rig, startRing, turns } from '../fakes/guest.js';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** What a connection may do and still not have taken the device. */
const untaken: [what: string, say: (all: ReturnType<typeof rig>) => Promise<void>][] = [
  ['opens and closes', async ({ listener }) => listener.connect().end()],
  [
    'asks for features',
    async ({ listener }) => {
      const connection = listener.connect();
      connection.send(message(1));
      await connection.reply(0);
      connection.end();
    },
  ],
  [
    'negotiates and describes a ring, and leaves',
    async ({ listener }) => {
      const connection = listener.connect();
      negotiate(connection);
      connection.send(message(8, u32(0, 64)));
      connection.send(message(18, u32(0, 1)));
      await connection.idle();
      connection.end();
    },
  ],
  [
    'gives an empty memory table and leaves',
    async ({ listener }) => {
      const connection = listener.connect();
      negotiate(connection);
      connection.send(message(5, u32(0, 0)));
      await connection.idle();
      connection.end();
    },
  ],
  [
    'gives memory that cannot be mapped',
    async (all) => {
      const connection = all.listener.connect();
      negotiate(connection);
      all.refuseNextMemory();
      giveMemory(connection, all.ledger);
      await turns();
      expect(connection.closed).toBe(true);
    },
  ],
  ['sends no protocol', async ({ listener }) => listener.connect().send(Buffer.alloc(64, 0xff))],
];

describe('a front end that', () => {
  test.each(untaken)('%s drops no pools', async (_, say) => {
    const all = rig();
    await say(all);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(all.store.droppedTimes).toBe(0);
    expect(all.guest.status()).toMatchObject({ state: 'absent', connectionsTotal: 0, connectionsWaiting: 0 });
    expect(all.ledger.unbalanced()).toEqual([]);
  });

  test.each(untaken)('%s neither stops nor restarts the orphan timer', async (_, say) => {
    const all = rig({ orphanTimeoutMs: 30_000 });
    (await connected(all)).end();
    await vi.advanceTimersByTimeAsync(20_000);
    await say(all);
    await vi.advanceTimersByTimeAsync(9_999);
    expect(all.guest.status().state).toBe('orphaned');
    expect(all.store.droppedTimes).toBe(0);
    await vi.advanceTimersByTimeAsync(1);
    expect(all.store.droppedTimes).toBe(1);
  });

  test.each(untaken)('%s does not disturb the one that has the device', async (_, say) => {
    const all = rig();
    const first = await connected(all);
    startRing(first);
    await first.idle();
    // Its own part may fail: it is refused.
    await Promise.race([say(all).catch(() => undefined), vi.advanceTimersByTimeAsync(1000)]);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(all.guest.status()).toMatchObject({ state: 'running', connectionsTotal: 1 });
    expect(all.store.droppedTimes).toBe(0);
  });

  test('says nothing does not keep the place busy: the next one takes the device', async () => {
    const all = rig();
    const idle = all.listener.connect();
    await turns();
    await connected(all);
    expect(idle.closed).toBe(false);
    expect(all.guest.status()).toMatchObject({
      state: 'connected',
      connectionsTotal: 1,
      connectionsRefusedTotal: 0,
      connectionsWaiting: 1,
    });
  });

  test('has the device and whose process ends is gone, although its socket stays open: the next one takes the device', async () => {
    const all = rig({ orphanTimeoutMs: 30_000 });
    const first = await connected(all);
    first.processEnds();
    // For the socket to tell it first, as it mostly does.
    await vi.advanceTimersByTimeAsync(99);
    expect(first.closed).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(first.closed).toBe(true);
    expect(all.guest.status().state).toBe('orphaned');
    await connected(all);
    expect(all.guest.status()).toMatchObject({ state: 'connected', connectionsTotal: 2 });
  });

  test('negotiates and then waits for its guest to boot is served when that comes, and not closed', async () => {
    const all = rig();
    const waiting = all.listener.connect();
    negotiate(waiting);
    await vi.advanceTimersByTimeAsync(3600e3);
    giveMemory(waiting, all.ledger);
    await waiting.idle();
    expect(all.guest.status().state).toBe('connected');
  });

  test('says no SET_OWNER is closed after the silence timeout, not before', async () => {
    const all = rig({ silenceTimeoutMs: 5000 });
    const silent = all.listener.connect();
    silent.send(message(1));
    await vi.advanceTimersByTimeAsync(4999);
    expect(silent.closed).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(silent.closed).toBe(true);
    expect(logged(all.log, 'connection closed: silent')).toHaveLength(1);
  });

  test('comes second to take the device is refused with the reason, and may try again later', async () => {
    const all = rig();
    const late = all.listener.connect();
    negotiate(late);
    await late.idle();
    const first = await connected(all);
    late.send(message(5, Buffer.concat([u32(1, 0), u64(0, 4096, 0, 0)]), 8), [all.ledger.open()]);
    await vi.advanceTimersByTimeAsync(1000);
    expect(late.written.at(-1)).toEqual(message(5, u64(1), 0x4));
    expect(all.guest.status()).toMatchObject({ connectionsTotal: 1, connectionsRefusedTotal: 1 });
    first.end();
    await turns();
    giveMemory(late, all.ledger);
    await late.idle();
    expect(all.guest.status()).toMatchObject({ state: 'connected', connectionsTotal: 2 });
  });

  test('is one of very many that wait makes the silent and then the oldest yield', async () => {
    const all = rig();
    const owner = all.listener.connect();
    negotiate(owner);
    await owner.idle();
    const silent = [];
    for (let count = 0; count < 20; count += 1) {
      silent.push(all.listener.connect());
      await turns();
    }
    expect(owner.closed).toBe(false);
    expect(silent.map(({ closed }) => closed)).toEqual([...Array(13).fill(true), ...Array(7).fill(false)]);
    expect(all.guest.status().connectionsWaiting).toBe(8);
  });
});

describe('an administrator', () => {
  test('disconnects a front end, whose place is free then', async () => {
    const all = rig({ orphanTimeoutMs: 30_000 });
    const first = await connected(all);
    const waiting = all.listener.connect();
    await vi.advanceTimersByTimeAsync(1);
    await all.guest.disconnect(false);
    expect(first.closed).toBe(true);
    expect(all.guest.status().state).toBe('orphaned');
    await vi.advanceTimersByTimeAsync(1000);
    expect(waiting.closed).toBe(true);
    await connected(all);
    expect(logged(all.log, 'connection closed by the administrator')).toHaveLength(1);
    expect(all.guest.status().state).toBe('connected');
  });

  test('disconnects a running guest only when forced', async () => {
    const all = rig();
    const first = await connected(all);
    startRing(first);
    await first.idle();
    await expect(all.guest.disconnect(false)).rejects.toThrow(
      'guest web is running and would lose its device',
    );
    expect(first.closed).toBe(false);
    await all.guest.disconnect(true);
    expect(first.closed).toBe(true);
  });

  test('disconnects a front end whose memory takes for ever to be mapped', async () => {
    const all = rig();
    all.neverMap();
    const stuck = all.listener.connect();
    negotiate(stuck);
    giveMemory(stuck, all.ledger);
    await turns();
    await all.guest.disconnect(true);
    expect(stuck.closed).toBe(true);
    all.mapAgain();
    await connected(all);
    expect(all.guest.status().state).toBe('connected');
  });
});
