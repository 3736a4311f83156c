/**
 * What a front end may say on one connection, drawn by fast-check: mostly requests of the protocol's table with
 * values near its borders, after a beginning that was negotiated or not; and words that no table has, messages cut
 * short, lengths that lie, descriptors of every kind where they do and do not belong.
 */
import fc from 'fast-check';
import {
  type RequestName,
  type RequestRule,
  requestNames,
  requestRules,
} from '../../src/vhost-user/requests.js';
import { message, NEED_REPLY, regionBytes, u32, u64, VERSION } from '../mock/front-end.js';

export const MEMORY_BYTES = 1 << 20;

/** Descriptors by what they are; `own end` is this connection's own. */
export const descriptorNames = [
  'memory',
  'short memory',
  'eventfd',
  'socket',
  'own end',
  'pipe',
  'file',
  'folder',
  'null',
] as const;
export type DescriptorName = (typeof descriptorNames)[number];

export interface Step {
  /** As on the wire, header included. */
  bytes: Buffer;
  fds: DescriptorName[];
  /** Sent in two parts, cut here; 0: in one. */
  cutAt: number;
  /** What came back so far is read, and the service gets its turn. */
  pause: boolean;
}

export interface Talk {
  steps: Step[];
  /** The administrator ends it, else the front end closes. */
  disconnected: boolean;
  /** A setting changes at this step. */
  tunedAt: number;
}

const U64_MAX = (1n << 64n) - 1n;
const anyU64 = fc.bigInt({ min: 0n, max: U64_MAX });
const pageAddress = fc.constantFrom(
  0n,
  4096n,
  0x8000n,
  0x80000n,
  BigInt(MEMORY_BYTES),
  1n << 40n,
  U64_MAX - 4095n,
);
const address = fc.oneof({ weight: 6, arbitrary: pageAddress }, { weight: 1, arbitrary: anyU64 });
const sizeBytes = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(4096n, BigInt(MEMORY_BYTES), 0n, 1n << 20n, 1n << 47n, 1n << 63n) },
  { weight: 1, arbitrary: anyU64 },
);
const ringIndex = fc.oneof(
  { weight: 8, arbitrary: fc.integer({ min: 0, max: 3 }) },
  { weight: 1, arbitrary: fc.constantFrom(4, 255, 0x7fffffff, 0xffffffff) },
);
const ringValue = fc.constantFrom(0, 1, 2, 8, 256, 1024, 32768, 65535, 65536, 0xffffffff);
const ringWord = fc
  .tuple(fc.integer({ min: 0, max: 4 }), fc.constantFrom(0, 0x100, 0x200))
  .map(([index, bits]) => u64(index | bits));
const featureWord = fc.oneof(
  fc.constantFrom(0n, (1n << 32n) | (1n << 30n), (1n << 32n) | (1n << 28n) | (1n << 29n) | (1n << 30n)),
  anyU64,
);
const region = fc
  .record({
    guestPhysical: address,
    size: sizeBytes,
    userspace: address,
    offset: fc.oneof(fc.constant(0n), address),
  })
  .map(regionBytes);
const ringState = fc.tuple(ringIndex, ringValue).map(([index, value]) => u32(index, value));
const configRange = fc
  .tuple(
    fc.constantFrom(0, 8, 250, 256, 0xffffffff),
    fc.integer({ min: 0, max: 256 }),
    fc.integer({ min: 0, max: 256 }),
  )
  .map(([offset, size, carried]) => Buffer.concat([u32(offset, size, 0), Buffer.alloc(carried)]));

/** A payload of the form that belongs to the request. */
const payloads: Partial<Record<RequestName, fc.Arbitrary<Buffer>>> = {
  SET_FEATURES: featureWord.map((value) => u64(value)),
  SET_PROTOCOL_FEATURES: fc.oneof(fc.constantFrom(0n, 0x1a229n, 0x8n), anyU64).map((value) => u64(value)),
  SET_MEM_TABLE: fc
    .array(region, { maxLength: 8 })
    .map((regions) => Buffer.concat([u32(regions.length, 0), ...regions])),
  ADD_MEM_REG: region.map((bytes) => Buffer.concat([u64(0), bytes])),
  REM_MEM_REG: region.map((bytes) => Buffer.concat([u64(0), bytes])),
  SET_VRING_ADDR: fc
    .tuple(ringIndex, fc.constantFrom(0, 0, 0, 1), address, address, address)
    .map(([index, flags, ...at]) => Buffer.concat([u32(index, flags), u64(...at, 0)])),
  SET_VRING_NUM: ringState,
  SET_VRING_BASE: ringState,
  GET_VRING_BASE: ringState,
  SET_VRING_ENABLE: ringState,
  SET_VRING_KICK: ringWord,
  SET_VRING_CALL: ringWord,
  SET_VRING_ERR: ringWord,
  GET_CONFIG: configRange,
  SET_CONFIG: configRange,
  SET_STATUS: fc.oneof(fc.constantFrom(0n, 15n, 255n), anyU64).map((value) => u64(value)),
};

const descriptor = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom<DescriptorName>('memory', 'eventfd') },
  { weight: 1, arbitrary: fc.constantFrom(...descriptorNames) },
);
const stepForm = {
  cutAt: fc.oneof({ weight: 9, arbitrary: fc.constant(0) }, fc.integer({ max: 40, min: 1 })),
  pause: fc.boolean(),
};

function requestStep(name: RequestName): fc.Arbitrary<Step> {
  const rule: RequestRule = requestRules[name];
  const right = payloads[name] ?? fc.constant(Buffer.alloc(rule.payload.least));
  return fc
    .record({
      ...stepForm,
      payload: right,
      needReply: fc.boolean(),
      // A request that carries a descriptor for each region or ring mostly gets as many as it says.
      fds: fc.array(descriptor, { minLength: 8, maxLength: 8 }),
      fdCount: fc.oneof(
        { weight: 1, arbitrary: fc.integer({ min: 0, max: 8 }) },
        { weight: 6, arbitrary: fc.constant(-1) },
      ),
    })
    .map(({ payload, needReply, fds, fdCount, cutAt, pause }) => ({
      bytes: message(rule.number, payload, needReply ? VERSION | NEED_REPLY : VERSION),
      fds: fds.slice(0, fdCount < 0 ? descriptorsOf(name, payload) : fdCount),
      cutAt,
      pause,
    }));
}

function descriptorsOf(name: RequestName, payload: Buffer): number {
  if (name === 'SET_MEM_TABLE') return payload.readUInt32LE(0);
  if (name === 'SET_VRING_KICK' || name === 'SET_VRING_CALL' || name === 'SET_VRING_ERR') {
    return payload.readBigUInt64LE(0) & 0x100n ? 0 : 1;
  }
  return requestRules[name].fds.least;
}

/** Of no table: any number, flags and length, whatever follows. */
const strangeStep: fc.Arbitrary<Step> = fc
  .record({
    ...stepForm,
    number: fc.oneof(fc.integer({ min: 0, max: 50 }), fc.constant(0xffffffff)),
    flags: fc.constantFrom(0, 1, 2, 5, 9, 13, 0xffffffff),
    saidBytes: fc.constantFrom(0, 8, 40, 264, 4096, 0xffffffff),
    payload: fc.uint8Array({ maxLength: 300 }),
    fds: fc.array(descriptor, { maxLength: 34 }),
  })
  .map(({ number, flags, saidBytes, payload, fds, cutAt, pause }) => ({
    bytes: Buffer.concat([u32(number, flags, saidBytes), payload]),
    fds,
    cutAt,
    pause,
  }));

const anyStep = fc.oneof(
  { weight: 60, arbitrary: fc.constantFrom(...requestNames).chain(requestStep) },
  { weight: 1, arbitrary: strangeStep },
);

function plain(name: RequestName, payload: Buffer = Buffer.alloc(0), fds: DescriptorName[] = []): Step {
  return { bytes: message(requestRules[name].number, payload), fds, cutAt: 0, pause: false };
}

const negotiation = [
  plain('SET_PROTOCOL_FEATURES', u64(0x1a229)),
  plain('SET_OWNER'),
  plain('SET_FEATURES', u64((1n << 32n) | (1n << 30n) | (1n << 29n) | (1n << 28n))),
];
const wholeMemory = regionBytes({ guestPhysical: 0n, size: BigInt(MEMORY_BYTES), userspace: 0n, offset: 0n });
const mapping = [plain('SET_MEM_TABLE', Buffer.concat([u32(1, 0), wholeMemory]), ['memory'])];
const starting = [0, 1].flatMap((index) => [
  plain('SET_VRING_NUM', u32(index, 8)),
  plain('SET_VRING_ADDR', Buffer.concat([u32(index, 0), u64(0, 0x2000, 0x1000, 0)])),
  plain('SET_VRING_KICK', u64(index), ['eventfd']),
  plain('SET_VRING_CALL', u64(index), ['eventfd']),
  plain('SET_VRING_ENABLE', u32(index, 1)),
]);

/** A guest that runs. */
export const wholeBeginning = [...negotiation, ...mapping, ...starting];

export const anyTalk: fc.Arbitrary<Talk> = fc
  .record({
    beginning: fc.constantFrom([], negotiation, [...negotiation, ...mapping], wholeBeginning),
    steps: fc.array(anyStep, { maxLength: 24, size: 'max' }),
    disconnected: fc.boolean(),
    tunedAt: fc.integer({ min: 0, max: 40 }),
  })
  .map(({ beginning, steps, ...talk }) => ({ steps: [...beginning, ...steps], ...talk }));
