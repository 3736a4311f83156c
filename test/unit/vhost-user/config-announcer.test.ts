/** When a session tells its front end of a config change: QEMU's generic device dies of it while its driver is not up. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { SETTLE_MS } from '../../../src/vhost-user/config-announcer.js';
import {
  OFFERED_FEATURES,
  OFFERED_PROTOCOL_FEATURES,
  ProtocolFeature,
} from '../../../src/vhost-user/requests.js';
import { Session } from '../../../src/vhost-user/session.js';
import { FakeConnection, FdLedger, message, NEED_REPLY, u32, u64 } from '../fakes/front-end.js';
import { FakeDevice } from '../fakes/native.js';

const QUEUES = 2;
const announcement = message(2, Buffer.alloc(0), NEED_REPLY);
const answer = message(2, u64(0), 0x4);

/** A front end as QEMU's generic device, and what it was told. */
function rig(protocolFeatures = OFFERED_PROTOCOL_FEATURES) {
  const ledger = new FdLedger();
  const connection = new FakeConnection(ledger.release);
  const channel = new FakeConnection();
  const failures: unknown[] = [];
  let device: FakeDevice | undefined;
  const session = new Session({
    native: {
      closeFds: ledger.closeAll,
      descriptorKind: ledger.kindOf,
      adoptSocket: (fd) => {
        ledger.release(fd);
        return { connection: channel };
      },
    },
    connection,
    claim: { reserve: async () => {}, taken: () => {}, release: () => {} },
    onOwned: () => {},
    onRefusal: () => {},
    openDevice: (onEvent) => {
      device = new FakeDevice(ledger, onEvent);
      return device;
    },
    queueCount: QUEUES,
    memoryRegionsMax: 32,
    deviceFeatures: 0n,
    configSpace: () => Buffer.alloc(64),
    onDeviceEvent: () => {},
    onRingsChange: () => {},
    onBackendChannelFailure: (error) => failures.push(error),
  });
  const ended = session.run();
  const say = async (number: number, payload?: Buffer, fds?: number[]) => {
    connection.send(message(number, payload), fds);
    await connection.idle();
  };
  return {
    session,
    connection,
    channel,
    failures,
    ended,
    say,
    told: () => channel.written.length,
    driverAsks: () => device?.onEvent({ type: 'driver-asks' }),
    async connect() {
      await say(16, u64(protocolFeatures));
      await say(3);
      await say(21, Buffer.alloc(0), [ledger.open('unix-stream')]);
      await say(2, u64(OFFERED_FEATURES));
      await say(5, Buffer.concat([u32(1, 0), u64(0, 4096, 0, 0)]), [ledger.open()]);
    },
    async kick(index: number) {
      await say(8, u32(index, 64));
      await say(9, Buffer.concat([u32(index, 0), u64(0, 0, 0, 0)]));
      await say(12, u64(0x100 | index));
    },
    enable: (index: number, enabled: number) => say(18, u32(index, enabled)),
    async start() {
      for (let index = 0; index < QUEUES; index += 1) await this.kick(index);
      for (let index = 0; index < QUEUES; index += 1) await this.enable(index, 1);
    },
    async stop() {
      for (let index = 0; index < QUEUES; index += 1) await this.enable(index, 0);
      for (let index = 0; index < QUEUES; index += 1) await say(11, u32(index, 0));
    },
    async answered() {
      channel.send(answer);
      await vi.advanceTimersByTimeAsync(0);
    },
  };
}

/** Longer than anything here waits. */
const aWhile = () => vi.advanceTimersByTimeAsync(100 * SETTLE_MS);

async function running(protocolFeatures?: bigint) {
  const all = rig(protocolFeatures);
  await all.connect();
  await all.start();
  await vi.advanceTimersByTimeAsync(SETTLE_MS);
  return all;
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('a config change', () => {
  test('while the rings run is announced at once, and the next once that was answered', async () => {
    const all = await running();
    expect(all.told()).toBe(0);
    all.session.configChanged();
    await vi.advanceTimersByTimeAsync(0);
    expect(all.channel.written).toEqual([announcement]);
    for (let change = 0; change < 10; change += 1) all.session.configChanged();
    await aWhile();
    expect(all.told()).toBe(1);
    await all.answered();
    expect(all.told()).toBe(2);
    await all.answered();
    await aWhile();
    expect(all.told()).toBe(2);
  });

  test.each<[state: string, reach: (all: ReturnType<typeof rig>) => Promise<void>]>([
    ['before the memory is there', async () => {}],
    ['of a ring that is described and not started', (all) => all.say(8, u32(0, 64))],
    ['of rings started and none enabled', (all) => all.kick(0)],
    [
      'of rings of which one is not enabled yet',
      async (all) => {
        await all.kick(0);
        await all.kick(1);
        await all.enable(0, 1);
      },
    ],
    [
      'of rings that are being stopped',
      async (all) => {
        await all.start();
        await aWhile();
        await all.enable(0, 0);
      },
    ],
    [
      'of rings stopped',
      async (all) => {
        await all.start();
        await aWhile();
        await all.stop();
      },
    ],
    [
      'after a reset by SET_STATUS',
      async (all) => {
        await all.start();
        await aWhile();
        await all.say(39, u64(0));
      },
    ],
  ])('in the state %s waits for the driver to be up, and is announced once', async (_, reach) => {
    const all = rig();
    await all.connect();
    await reach(all);
    all.session.configChanged();
    all.session.configChanged();
    await aWhile();
    expect(all.told()).toBe(0);
    await all.stop();
    await all.start();
    expect(all.told()).toBe(0);
    await aWhile();
    expect(all.channel.written).toEqual([announcement]);
  });

  test('that was announced before the rings stopped, and not answered since, is not followed by another', async () => {
    const all = await running();
    all.session.configChanged();
    await all.stop();
    all.session.configChanged();
    await all.start();
    await aWhile();
    expect(all.told()).toBe(1);
    await all.answered();
    expect(all.told()).toBe(2);
  });

  test('is not announced for rings that run for less than a moment', async () => {
    const all = rig();
    await all.connect();
    all.session.configChanged();
    for (let round = 0; round < 20; round += 1) {
      await all.start();
      await vi.advanceTimersByTimeAsync(SETTLE_MS - 1);
      await all.stop();
      await vi.advanceTimersByTimeAsync(SETTLE_MS);
    }
    expect(all.told()).toBe(0);
  });

  test('is never announced to a driver that asks, whether it comes before or after the first question', async () => {
    const all = rig();
    await all.connect();
    all.session.configChanged();
    await all.start();
    all.driverAsks();
    await aWhile();
    all.session.configChanged();
    await aWhile();
    expect(all.told()).toBe(0);
  });

  test('is announced to a driver that does not ask, where one that did was before', async () => {
    const all = await running();
    all.driverAsks();
    await all.stop();
    await all.start();
    await aWhile();
    all.session.configChanged();
    await vi.advanceTimersByTimeAsync(0);
    expect(all.told()).toBe(1);
  });

  test('is announced without asking for an answer where REPLY_ACK was not negotiated', async () => {
    const all = await running(OFFERED_PROTOCOL_FEATURES & ~ProtocolFeature.REPLY_ACK);
    for (let change = 0; change < 2; change += 1) {
      all.session.configChanged();
      await vi.advanceTimersByTimeAsync(0);
    }
    expect(all.channel.written).toEqual([message(2), message(2)]);
  });

  test.each<[what: string, send: (channel: FakeConnection) => void]>([
    ['no answer', (channel) => channel.send(message(3, u64(0), 0x4))],
    ['an answer that asks', (channel) => channel.send(message(2, u64(0)))],
    ['an answer of another size', (channel) => channel.send(message(2, Buffer.alloc(12), 0x4))],
    ['the end of the channel', (channel) => channel.end()],
  ])('answered by %s is the last to be announced, and the session goes on', async (_, send) => {
    const all = await running();
    all.session.configChanged();
    await vi.advanceTimersByTimeAsync(0);
    send(all.channel);
    await vi.advanceTimersByTimeAsync(0);
    expect(all.failures).toHaveLength(1);
    all.session.configChanged();
    await aWhile();
    expect(all.told()).toBe(1);
    await all.stop();
    all.connection.end();
    expect(await all.ended).toEqual({ reason: 'closed by the front end' });
  });

  test('under way when the session ends is nobody’s failure', async () => {
    const all = await running();
    all.session.configChanged();
    await vi.advanceTimersByTimeAsync(0);
    all.connection.end();
    await all.ended;
    await aWhile();
    expect(all.channel.closed).toBe(true);
    expect(all.failures).toEqual([]);
  });
});
