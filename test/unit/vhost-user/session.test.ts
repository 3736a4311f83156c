/** The protocol's state machine over a connection in memory and a fake device. */
import { describe, expect, test } from 'vitest';
import type { DescriptorKind, DeviceEvent } from '../../../src/native/addon.js';
import { RefusedError } from '../../../src/vhost-user/protocol-error.js';
import type { Refusal } from '../../../src/vhost-user/refusal.js';
import {
  Feature,
  MAX_MEMORY_REGIONS,
  OFFERED_FEATURES,
  OFFERED_PROTOCOL_FEATURES,
  type RequestName,
  type RequestRule,
  requestNames,
  requestRules,
} from '../../../src/vhost-user/requests.js';
import { Session, type SessionEnd } from '../../../src/vhost-user/session.js';
import {
  codedError,
  FakeConnection,
  FdLedger,
  message,
  NEED_REPLY,
  region,
  u32,
  u64,
} from '../fakes/front-end.js';
import { FakeDevice } from '../fakes/native.js';

const QUEUE_COUNT = 3;
const DEVICE_FEATURES = 1n << 6n;
const CONFIG = Buffer.from(Array.from({ length: 64 }, (_, index) => index + 1));

class Rig {
  readonly ledger = new FdLedger();
  readonly connection = new FakeConnection(this.ledger.release);
  readonly backend = new FakeConnection();
  readonly events: DeviceEvent[] = [];
  readonly refusals: Refusal[] = [];
  readonly session: Session;
  readonly ended: Promise<SessionEnd>;
  #started = false;
  device: FakeDevice | undefined;
  /** What became of the guest's device, in order. */
  readonly claims: string[] = [];
  /** Somebody else has the device. */
  heldByAnother = false;
  /** Of descriptors sent, where it is not the right one. */
  kind: DescriptorKind | undefined;
  /** Of the first memory given. */
  refuseFirst: Error | undefined;

  constructor(memoryRegionsMax = MAX_MEMORY_REGIONS) {
    this.session = new Session({
      native: {
        closeFds: this.ledger.closeAll,
        descriptorKind: this.ledger.kindOf,
        adoptSocket: (fd) => {
          this.ledger.release(fd);
          return { connection: this.backend };
        },
      },
      connection: this.connection,
      claim: {
        reserve: async () => {
          this.claims.push('reserved');
          if (this.heldByAnother) throw new RefusedError('the device is taken by process 7');
        },
        taken: () => this.claims.push('taken'),
        release: () => this.claims.push('released'),
      },
      onOwned: () => this.claims.push('owned'),
      openDevice: (onEvent) => {
        this.device = new FakeDevice(this.ledger, onEvent);
        this.device.refuseNext = this.refuseFirst;
        return this.device;
      },
      queueCount: QUEUE_COUNT,
      memoryRegionsMax,
      deviceFeatures: DEVICE_FEATURES,
      configSpace: () => CONFIG,
      onDeviceEvent: (event) => this.events.push(event),
      onRefusal: (refusal) => this.refusals.push(refusal),
      onRingsChange: () => {},
      onBackendChannelFailure: () => {},
    });
    this.ended = this.session.run();
  }

  send(name: RequestName, payload: Buffer = Buffer.alloc(0), fdCount = 0, flags = 0): void {
    const kind = this.kind ?? (name === 'SET_BACKEND_REQ_FD' ? 'unix-stream' : 'eventfd');
    const fds = Array.from({ length: fdCount }, () => this.ledger.open(kind));
    this.connection.send(message(requestRules[name].number, payload, flags), fds);
  }

  negotiate(): this {
    this.send('SET_PROTOCOL_FEATURES', u64(OFFERED_PROTOCOL_FEATURES));
    this.send('SET_OWNER');
    this.send('SET_FEATURES', u64(OFFERED_FEATURES));
    return this;
  }

  /** A ring described as QEMU does, up to but without the kick. */
  describeRing(index: number): this {
    this.send('SET_VRING_NUM', u32(index, 256));
    this.send('SET_VRING_BASE', u32(index, 5));
    this.send('SET_VRING_ADDR', Buffer.concat([u32(index, 0), u64(0x1000, 0x3000, 0x2000, 0)]));
    return this;
  }

  /** The first takes the device. */
  giveMemory(): this {
    this.send('SET_MEM_TABLE', valid.SET_MEM_TABLE.payload, 1);
    return this;
  }

  get taken(): FakeDevice {
    if (!this.device) throw new Error('no device was opened');
    return this.device;
  }

  startRing(index: number): this {
    if (!this.#started) this.giveMemory();
    this.#started = true;
    this.describeRing(index);
    this.send('SET_VRING_KICK', u64(index), 1);
    this.send('SET_VRING_CALL', u64(index), 1);
    this.send('SET_VRING_ENABLE', u32(index, 1));
    return this;
  }

  /** Waits until everything sent was handled. */
  async settled(): Promise<void> {
    const end = await Promise.race([this.connection.idle(), this.ended]);
    if (end) throw new Error(`session ended: ${JSON.stringify(end)}`);
  }

  /** The session must end for a fault of the front end, with everything closed exactly once. */
  async expectMisbehaved(pattern: RegExp): Promise<void> {
    const end = await this.ended;
    expect(end).toMatchObject({ reason: 'front end misbehaved', error: expect.stringMatching(pattern) });
    this.expectClean();
  }

  expectClean(): void {
    expect(this.ledger.unbalanced()).toEqual([]);
    expect(this.connection.closed).toBe(true);
    if (this.device) expect(this.device.closedTimes).toBe(1);
  }
}

/** A payload of the right size for each request, that a session which has negotiated and described ring 0 takes. */
const valid: Record<RequestName, { payload: Buffer; fds: number }> = {
  GET_FEATURES: { payload: Buffer.alloc(0), fds: 0 },
  SET_FEATURES: { payload: u64(OFFERED_FEATURES), fds: 0 },
  SET_OWNER: { payload: Buffer.alloc(0), fds: 0 },
  RESET_OWNER: { payload: Buffer.alloc(0), fds: 0 },
  SET_MEM_TABLE: { payload: Buffer.concat([u32(1, 0), u64(0, 4096, 0, 0)]), fds: 1 },
  SET_VRING_NUM: { payload: u32(0, 64), fds: 0 },
  SET_VRING_ADDR: { payload: Buffer.concat([u32(0, 0), u64(0, 0, 0, 0)]), fds: 0 },
  SET_VRING_BASE: { payload: u32(0, 0), fds: 0 },
  GET_VRING_BASE: { payload: u32(0, 0), fds: 0 },
  SET_VRING_KICK: { payload: u64(0), fds: 1 },
  SET_VRING_CALL: { payload: u64(0), fds: 1 },
  SET_VRING_ERR: { payload: u64(0), fds: 1 },
  GET_PROTOCOL_FEATURES: { payload: Buffer.alloc(0), fds: 0 },
  SET_PROTOCOL_FEATURES: { payload: u64(OFFERED_PROTOCOL_FEATURES), fds: 0 },
  GET_QUEUE_NUM: { payload: Buffer.alloc(0), fds: 0 },
  SET_VRING_ENABLE: { payload: u32(0, 0), fds: 0 },
  SET_BACKEND_REQ_FD: { payload: Buffer.alloc(0), fds: 1 },
  GET_CONFIG: { payload: Buffer.concat([u32(0, 64, 0), Buffer.alloc(64)]), fds: 0 },
  SET_CONFIG: { payload: Buffer.concat([u32(0, 4, 0), Buffer.alloc(4)]), fds: 0 },
  RESET_DEVICE: { payload: Buffer.alloc(0), fds: 0 },
  GET_MAX_MEM_SLOTS: { payload: Buffer.alloc(0), fds: 0 },
  ADD_MEM_REG: { payload: u64(0, 0, 4096, 0, 0), fds: 1 },
  REM_MEM_REG: { payload: u64(0, 0, 4096, 0, 0), fds: 0 },
  SET_STATUS: { payload: u64(4), fds: 0 },
  GET_STATUS: { payload: Buffer.alloc(0), fds: 0 },
};

const rules = requestNames.map((name) => ({ name, rule: requestRules[name] as RequestRule, ...valid[name] }));
const SET_OWNER_TWICE = 'SET_OWNER';

describe('every request', () => {
  test.each(rules.filter(({ name }) => name !== SET_OWNER_TWICE))(
    '$name is taken when in order',
    async (row) => {
      const rig = new Rig().negotiate().giveMemory().describeRing(0);
      rig.send(row.name, row.payload, row.fds);
      await rig.settled();
      expect(rig.connection.written).toHaveLength(row.rule.replies ? 1 : 0);
      rig.connection.end();
      expect(await rig.ended).toEqual({ reason: 'closed by the front end' });
      rig.expectClean();
    },
  );

  test.each(rules.filter(({ name, rule }) => name !== SET_OWNER_TWICE && !rule.replies))(
    '$name is acknowledged when asked',
    async (row) => {
      const rig = new Rig().negotiate().giveMemory().describeRing(0);
      rig.send(row.name, row.payload, row.fds, NEED_REPLY);
      await rig.settled();
      expect(rig.connection.written).toEqual([message(row.rule.number, u64(0), 0x4)]);
      rig.session.close();
      expect(await rig.ended).toEqual({ reason: 'closed by the service' });
      rig.expectClean();
    },
  );

  const wrongSizes = rules.flatMap(({ name, rule, fds }) => {
    const { least, most, step } = rule.payload;
    const sizes = [least - 1, most + 1, most + 4096, 0xffffffff, ...(step > 1 ? [least + 1] : [])];
    return sizes.filter((size) => size >= 0).map((size) => ({ name, size, fds }));
  });
  test.each(wrongSizes)(
    '$name with $size bytes of payload ends the connection',
    async ({ name, size, fds }) => {
      const rig = new Rig().negotiate().describeRing(0);
      const header = Buffer.concat([
        u32(requestRules[name].number, 0x1, size),
        Buffer.alloc(Math.min(size, 8192)),
      ]);
      rig.connection.send(
        header,
        Array.from({ length: fds }, () => rig.ledger.open()),
      );
      await rig.expectMisbehaved(new RegExp(`^${name} with ${size} bytes`));
    },
  );

  const wrongFdCounts = rules.flatMap(({ name, rule, payload }) =>
    [rule.fds.least - 1, rule.fds.most + 1, 16]
      .filter((fds) => fds >= 0)
      .map((fds) => ({ name, payload, fds })),
  );
  test.each(wrongFdCounts)(
    '$name with $fds descriptors ends the connection',
    async ({ name, payload, fds }) => {
      const rig = new Rig().negotiate().describeRing(0);
      rig.send(name, payload, fds);
      await rig.expectMisbehaved(new RegExp(`^${name}.*${fds} descriptors`));
    },
  );

  const owned = rules.filter(({ rule }) => rule.order !== 'any');
  test.each(owned)('$name before SET_OWNER ends the connection', async ({ name, payload, fds }) => {
    const rig = new Rig();
    rig.send('SET_PROTOCOL_FEATURES', u64(OFFERED_PROTOCOL_FEATURES));
    rig.send(name, payload, fds);
    await rig.expectMisbehaved(new RegExp(`^${name} before SET_OWNER`));
  });

  const optional = rules.filter(({ rule }) => rule.needs !== undefined);
  test.each(optional)(
    '$name without its protocol feature ends the connection',
    async ({ name, payload, fds }) => {
      const rig = new Rig();
      rig.send('SET_OWNER');
      rig.send(name, payload, fds);
      await rig.expectMisbehaved(new RegExp(`^${name} without its protocol feature`));
    },
  );

  const stopped = rules.filter(({ rule }) => rule.order === 'stopped');
  test.each(stopped)('$name on a started ring ends the connection', async ({ name, payload, fds }) => {
    const rig = new Rig().negotiate().startRing(0);
    rig.send(name, payload, fds);
    await rig.expectMisbehaved(/ring 0 is started/);
  });

  const ofRings = rules.filter(({ name }) => name.includes('VRING'));
  test.each(ofRings)(
    '$name on a ring that is not there ends the connection',
    async ({ name, payload, fds }) => {
      const rig = new Rig().negotiate();
      const elsewhere = Buffer.from(payload);
      elsewhere.writeUInt8(QUEUE_COUNT, 0);
      rig.send(name, elsewhere, fds);
      await rig.expectMisbehaved(
        /ring 3, allowed: 0 to 2; .* at most 3 queues \(QEMU: num_vqs=3, num-queues=3\)/,
      );
    },
  );

  test.each(rules)('$name cut short by the end of the stream ends the connection', async (row) => {
    const rig = new Rig().negotiate();
    const bytes = message(row.rule.number, row.payload);
    const fds = Array.from({ length: row.fds }, () => rig.ledger.open());
    rig.connection.send(bytes.subarray(0, bytes.length - 1), fds);
    rig.connection.end();
    await rig.expectMisbehaved(/message cut short/);
  });
});

describe('the header', () => {
  test.each([
    ['a request nobody offered', message(31), /request 31, which was not offered/],
    ['request 0', message(0), /request 0,/],
    ['another version', Buffer.concat([u32(1, 0x2, 0)]), /GET_FEATURES with header flags 0x2/],
    ['the reply bit', Buffer.concat([u32(1, 0x5, 0)]), /header flags 0x5/],
    ['reserved flags', Buffer.concat([u32(1, 0x11, 0)]), /header flags 0x11/],
  ])('with %s ends the connection', async (_, bytes, pattern) => {
    const rig = new Rig();
    rig.connection.send(bytes);
    await rig.expectMisbehaved(pattern);
  });

  test('may arrive a byte at a time', async () => {
    const rig = new Rig();
    for (const byte of message(1)) rig.connection.send(Buffer.from([byte]));
    expect(await rig.connection.reply(0)).toEqual(message(1, u64(OFFERED_FEATURES | DEVICE_FEATURES), 0x4));
  });
});

describe('a payload that contradicts itself ends the connection', () => {
  const region = Buffer.concat([u64(0, 4096, 0, 0)]);
  const cases: [name: RequestName, what: string, payload: Buffer, fds: number, pattern: RegExp][] = [
    ['SET_FEATURES', 'a bit not offered', u64(1n << 40n), 0, /feature bits 0x10000000000/],
    ['SET_PROTOCOL_FEATURES', 'a bit not offered', u64(1n << 1n), 0, /feature bits 0x2/],
    ['SET_OWNER', 'sent again', Buffer.alloc(0), 0, /sent twice/],
    [
      'SET_MEM_TABLE',
      'fewer regions than it says',
      Buffer.concat([u32(2, 0), region]),
      2,
      /2 regions in a payload/,
    ],
    ['SET_MEM_TABLE', 'a huge count', Buffer.concat([u32(0xffffffff, 0), region]), 1, /4294967295 regions/],
    [
      'SET_MEM_TABLE',
      'too few descriptors',
      Buffer.concat([u32(2, 0), region, region]),
      1,
      /1 descriptors for 2/,
    ],
    ['SET_VRING_NUM', 'size 0', u32(0, 0), 0, /ring size 0/],
    ['SET_VRING_NUM', 'a size not a power of two', u32(0, 3), 0, /ring size 3/],
    [
      'SET_VRING_NUM',
      'a size beyond the bound',
      u32(0, 65536),
      0,
      /ring size 65536, allowed: powers of two from 2 to 32768/,
    ],
    ['SET_VRING_BASE', 'a base beyond 16 bits', u32(0, 0x10000), 0, /ring base 65536/],
    ['SET_VRING_NUM', 'a ring index beyond 8 bits', u32(0x100, 1), 0, /ring 256/],
    ['SET_VRING_ADDR', 'dirty logging', Buffer.concat([u32(0, 1), u64(0, 0, 0, 0)]), 0, /ring flags 0x1/],
    [
      'SET_VRING_KICK',
      'no descriptor where one is announced',
      u64(0),
      0,
      /0 descriptors, its payload says 1/,
    ],
    [
      'SET_VRING_KICK',
      'a descriptor where none is announced',
      u64(0x100),
      1,
      /1 descriptors, its payload says 0/,
    ],
    ['SET_VRING_CALL', 'reserved bits', u64(0x200), 1, /reserved bits set in 0x200/],
    ['SET_VRING_ENABLE', 'neither 0 nor 1', u32(0, 2), 0, /2, allowed: 0 or 1/],
    [
      'GET_CONFIG',
      'a size that is not its own',
      Buffer.concat([u32(0, 64, 0), Buffer.alloc(8)]),
      0,
      /64 bytes of config/,
    ],
    [
      'GET_CONFIG',
      'a range past the end',
      Buffer.concat([u32(250, 8, 0), Buffer.alloc(8)]),
      0,
      /up to byte 258/,
    ],
    [
      'GET_CONFIG',
      'an offset that wraps',
      Buffer.concat([u32(0xffffffff, 8, 0), Buffer.alloc(8)]),
      0,
      /up to byte/,
    ],
    ['SET_STATUS', 'more than a byte', u64(0x100), 0, /status 0x100/],
  ];
  test.each(cases)('%s: %s', async (name, _what, payload, fds, pattern) => {
    const rig = new Rig().negotiate();
    rig.send(name, payload, fds);
    await rig.expectMisbehaved(pattern);
  });

  test.each([
    ['nothing', []],
    ['only a size', ['SET_VRING_NUM']],
    ['only addresses', ['SET_VRING_ADDR']],
  ] as [string, RequestName[]][])('SET_VRING_KICK with %s described before', async (_, before) => {
    const rig = new Rig().negotiate();
    for (const name of before) rig.send(name, valid[name].payload);
    rig.send('SET_VRING_KICK', u64(0), 1);
    await rig.expectMisbehaved(/ring 0 has no size or no addresses/);
  });

  test('a ring of a driver that did not acknowledge VERSION_1', async () => {
    const rig = new Rig().negotiate();
    rig.send('SET_FEATURES', u64(Feature.PROTOCOL_FEATURES));
    rig.giveMemory().describeRing(0).send('SET_VRING_KICK', u64(0), 1);
    await rig.expectMisbehaved(/VERSION_1 .*-global virtio-mmio\.force-legacy=false/);
  });

  test.each([
    ['SET_VRING_KICK', /SET_VRING_KICK: its descriptor is no eventfd/],
    ['SET_VRING_CALL', /SET_VRING_CALL: its descriptor is no eventfd/],
    ['SET_VRING_ERR', /SET_VRING_ERR: its descriptor is no eventfd/],
    ['SET_BACKEND_REQ_FD', /SET_BACKEND_REQ_FD: its descriptor is no connected UNIX stream socket/],
  ] as [RequestName, RegExp][])('%s with a descriptor of another kind', async (name, pattern) => {
    const rig = new Rig().negotiate().giveMemory().describeRing(0);
    rig.kind = 'other';
    rig.send(name, valid[name].payload, 1);
    await rig.expectMisbehaved(pattern);
  });
});

describe('a session', () => {
  test("goes through QEMU's start, stop and start again", async () => {
    const rig = new Rig();
    rig.send('GET_FEATURES');
    rig.send('GET_PROTOCOL_FEATURES');
    rig.send('SET_PROTOCOL_FEATURES', u64(OFFERED_PROTOCOL_FEATURES));
    rig.send('GET_QUEUE_NUM');
    rig.send('GET_MAX_MEM_SLOTS');
    rig.send('SET_BACKEND_REQ_FD', Buffer.alloc(0), 1, NEED_REPLY);
    rig.send('SET_OWNER');
    rig.send('GET_CONFIG', valid.GET_CONFIG.payload);
    for (let index = 0; index < QUEUE_COUNT; index += 1) {
      rig.send('SET_VRING_CALL', u64(index), 1);
      rig.send('SET_VRING_ERR', u64(index), 1);
    }
    rig.send('SET_FEATURES', u64(OFFERED_FEATURES), 0, NEED_REPLY);
    rig.send('ADD_MEM_REG', u64(0, 0, 4096, 0x7000, 0), 1, NEED_REPLY);
    for (const index of [0, 1]) {
      rig.describeRing(index);
      rig.send('SET_VRING_KICK', u64(index), 1);
      rig.send('SET_VRING_CALL', u64(index), 1);
      rig.send('SET_VRING_ENABLE', u32(index, 1));
    }
    rig.send('SET_STATUS', u64(7));
    rig.send('GET_STATUS');
    await rig.settled();
    expect(rig.connection.written.map((reply) => [reply.readUInt32LE(0), reply.subarray(12)])).toEqual([
      [1, u64(OFFERED_FEATURES | DEVICE_FEATURES)],
      [15, u64(OFFERED_PROTOCOL_FEATURES)],
      [17, u64(QUEUE_COUNT)],
      [36, u64(MAX_MEMORY_REGIONS)],
      [21, u64(0)],
      [24, Buffer.concat([u32(0, 64, 0), CONFIG])],
      [2, u64(0)],
      [37, u64(0)],
      [40, u64(7)],
    ]);
    expect(rig.taken.names()).toEqual([
      'addMemoryRegion',
      ...['startVring', 'setCallFd', 'enableVring'],
      ...['startVring', 'setCallFd', 'enableVring'],
    ]);
    expect(rig.taken.calls[1]?.[1]).toEqual({
      queueIndex: 0,
      size: 256,
      descriptorAddress: 0x1000n,
      availableAddress: 0x2000n,
      usedAddress: 0x3000n,
      lastAvailableIndex: 5,
      eventIdx: true,
      kickFd: expect.any(Number),
      callFd: expect.any(Number),
    });
    expect(rig.session.running).toBe(true);

    rig.send('SET_VRING_ENABLE', u32(0, 0));
    rig.send('GET_VRING_BASE', u32(0, 0));
    await rig.settled();
    expect(rig.connection.written.at(-1)).toEqual(message(11, u32(0, 77), 0x4));
    expect(rig.session.rings[0]).toEqual({ index: 0, size: 256, started: false, enabled: false });

    rig.startRing(0);
    await rig.settled();
    rig.connection.end();
    expect(await rig.ended).toEqual({ reason: 'closed by the front end' });
    rig.expectClean();
  });

  test('opens no device before it is given memory', async () => {
    const rig = new Rig().negotiate().describeRing(0);
    rig.send('SET_VRING_CALL', u64(0), 1);
    rig.send('SET_VRING_ENABLE', u32(0, 1));
    rig.send('SET_MEM_TABLE', u32(0, 0));
    await rig.settled();
    expect([rig.device, rig.claims]).toEqual([undefined, ['owned']]);
    rig.giveMemory();
    await rig.settled();
    expect(rig.claims).toEqual(['owned', 'reserved', 'taken']);
    rig.session.close();
    await rig.ended;
    rig.expectClean();
  });

  test('starts no ring without memory, and says what to do', async () => {
    const rig = new Rig().negotiate().describeRing(0);
    rig.send('SET_VRING_KICK', u64(0), 1);
    await rig.expectMisbehaved(/SET_VRING_KICK: .*share=on/);
  });

  test('gives the device back when its first memory is refused', async () => {
    const rig = new Rig().negotiate();
    rig.refuseFirst = codedError('TMEMD_FRONT_END');
    rig.send('ADD_MEM_REG', valid.ADD_MEM_REG.payload, 1, NEED_REPLY);
    expect(await rig.connection.reply(0)).toEqual(message(37, u64(1), 0x4));
    expect(rig.claims).toEqual(['owned', 'reserved', 'released']);
    expect(rig.taken.closedTimes).toBe(1);
  });

  test('is closed in the middle of a message, and the descriptors that had come with it are closed too', async () => {
    const rig = new Rig().negotiate();
    await rig.settled();
    const { payload } = valid.SET_MEM_TABLE;
    const whole = message(requestRules.SET_MEM_TABLE.number, payload);
    rig.connection.send(whole.subarray(0, whole.length - payload.length), [
      rig.ledger.open(),
      rig.ledger.open(),
    ]);
    // The header is read, and its payload is waited for.
    await rig.settled();
    rig.session.close('closed: silent');
    expect(await rig.ended).toEqual({ reason: 'closed: silent' });
    await rig.session.gone;
    rig.expectClean();
  });

  test('is refused the device that another has, whose memory is never mapped', async () => {
    const rig = new Rig().negotiate();
    rig.heldByAnother = true;
    rig.send('SET_MEM_TABLE', valid.SET_MEM_TABLE.payload, 1, NEED_REPLY);
    expect(await rig.connection.reply(0)).toEqual(message(5, u64(1), 0x4));
    expect(rig.device).toBeUndefined();
    rig.session.close('closed by the administrator');
    expect(await rig.ended).toEqual({ reason: 'closed by the administrator' });
    rig.expectClean();
  });

  test.each(['RESET_DEVICE', 'RESET_OWNER', 'SET_STATUS'] as const)('%s stops every ring', async (name) => {
    const rig = new Rig().negotiate().startRing(0).startRing(2);
    rig.send(name, name === 'SET_STATUS' ? u64(0) : Buffer.alloc(0));
    await rig.settled();
    expect(rig.taken.calls.filter(([call]) => call === 'stopVring')).toEqual([
      ['stopVring', 0],
      ['stopVring', 2],
    ]);
    expect(rig.session.running).toBe(false);
  });

  test('starts rings enabled when PROTOCOL_FEATURES was not acknowledged', async () => {
    const rig = new Rig();
    rig.send('SET_OWNER');
    rig.send('SET_FEATURES', u64(Feature.VERSION_1));
    rig.giveMemory().describeRing(1).send('SET_VRING_KICK', u64(0x101));
    await rig.settled();
    expect(rig.taken.calls.slice(1)).toEqual([
      ['startVring', expect.not.objectContaining({ kickFd: expect.anything() })],
      ['enableVring', 1, true],
    ]);
  });

  test('enables a ring that was enabled before it started', async () => {
    const rig = new Rig().negotiate().describeRing(0);
    rig.send('SET_VRING_ENABLE', u32(0, 1));
    rig.giveMemory().send('SET_VRING_KICK', u64(0), 1);
    await rig.settled();
    expect(rig.taken.calls.slice(1)).toEqual([
      ['enableVring', 0, true],
      ['startVring', expect.anything()],
    ]);
  });

  test('replaces the kick and call descriptors of a started ring', async () => {
    const rig = new Rig().negotiate().startRing(0);
    rig.send('SET_VRING_KICK', u64(0), 1);
    rig.send('SET_VRING_CALL', u64(0x100));
    await rig.settled();
    expect(rig.taken.calls.slice(-2)).toEqual([
      ['setKickFd', 0, expect.any(Number)],
      ['setCallFd', 0, undefined],
    ]);
    rig.session.close();
    await rig.ended;
    rig.expectClean();
  });

  test('answers with a refusal, and goes on, when the device cannot do what was asked', async () => {
    const rig = new Rig().negotiate().giveMemory();
    await rig.settled();
    rig.taken.refuseNext = codedError('TMEMD_FRONT_END');
    rig.send('ADD_MEM_REG', valid.ADD_MEM_REG.payload, 1, NEED_REPLY);
    expect(await rig.connection.reply(0)).toEqual(message(37, u64(1), 0x4));
    await rig.settled();
    expect(rig.refusals).toEqual([
      {
        request: 'ADD_MEM_REG',
        kind: 'memory',
        error: 'TMEMD_FRONT_END',
        cure: expect.stringContaining('share=on'),
      },
    ]);
  });

  test('ends when the device cannot do what was asked and no answer was wanted', async () => {
    const rig = new Rig().negotiate().giveMemory();
    await rig.settled();
    rig.taken.refuseNext = codedError('TMEMD_FRONT_END');
    rig.send('ADD_MEM_REG', valid.ADD_MEM_REG.payload, 1);
    await rig.expectMisbehaved(/ADD_MEM_REG: TMEMD_FRONT_END/);
  });

  test('takes as many memory regions as it says and no more', async () => {
    const rig = new Rig().negotiate();
    for (let slot = 0; slot < MAX_MEMORY_REGIONS; slot += 1)
      rig.send('ADD_MEM_REG', valid.ADD_MEM_REG.payload, 1);
    rig.send('REM_MEM_REG', valid.REM_MEM_REG.payload, 1);
    rig.send('ADD_MEM_REG', valid.ADD_MEM_REG.payload, 1);
    await rig.settled();
    rig.send('ADD_MEM_REG', valid.ADD_MEM_REG.payload, 1);
    await rig.expectMisbehaved(new RegExp(`more than ${MAX_MEMORY_REGIONS} memory regions`));
  });

  test.each(['ADD_MEM_REG', 'SET_MEM_TABLE'] as const)(
    'takes no more memory regions by %s than its share of mappings',
    async (request) => {
      const rig = new Rig(1).negotiate();
      rig.send('GET_MAX_MEM_SLOTS');
      rig.send('ADD_MEM_REG', valid.ADD_MEM_REG.payload, 1);
      await rig.settled();
      expect(rig.connection.written.map((reply) => reply.subarray(12))).toContainEqual(u64(1));
      if (request === 'ADD_MEM_REG') rig.send(request, valid.ADD_MEM_REG.payload, 1);
      else {
        const region = valid.ADD_MEM_REG.payload.subarray(8);
        rig.send(request, Buffer.concat([u32(2, 0), region, region]), 2);
      }
      await rig.expectMisbehaved(/more than 1 memory regions: a guest's share of vm.max_map_count/);
    },
  );

  test('hands a whole memory table over with a descriptor for each region', async () => {
    const regions = [1n, 2n].map((n) => ({
      guestPhysicalAddress: n << 20n,
      sizeBytes: n << 12n,
      userspaceAddress: n << 40n,
      mmapOffsetBytes: n << 16n,
    }));
    const rig = new Rig().negotiate();
    rig.send('SET_MEM_TABLE', Buffer.concat([u32(2, 0), ...regions.map(region)]), 2);
    await rig.settled();
    expect(rig.taken.calls).toEqual([
      ['setMemoryTable', regions.map((each) => ({ ...each, fd: expect.any(Number) }))],
    ]);
  });

  test('reads config space beyond its 64 bytes as zeros', async () => {
    const rig = new Rig().negotiate();
    rig.send('GET_CONFIG', Buffer.concat([u32(60, 8, 0), Buffer.alloc(8)]));
    expect((await rig.connection.reply(0)).subarray(12)).toEqual(
      Buffer.concat([u32(60, 8, 0), CONFIG.subarray(60), Buffer.alloc(4)]),
    );
  });

  test('ends when the guest memory is gone', async () => {
    const rig = new Rig().negotiate().startRing(0);
    await rig.settled();
    rig.taken.onEvent({ type: 'memory-lost', reason: 'truncated' });
    expect(await rig.ended).toEqual({ reason: 'guest memory lost', error: 'truncated' });
    rig.expectClean();
  });

  test('passes on what the device reports and outlives a broken queue', async () => {
    const rig = new Rig().negotiate().giveMemory();
    await rig.settled();
    rig.taken.onEvent({ type: 'queue-broken', queueIndex: 1, reason: 'loop' });
    await rig.settled();
    expect(rig.events).toEqual([{ type: 'queue-broken', queueIndex: 1, reason: 'loop' }]);
  });
});
