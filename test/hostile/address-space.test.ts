/**
 * Front ends that claim address space: a sparse file claims any amount of it at no cost, and it is the process's, so
 * that whoever takes all of it takes it from everyone. What one guest may map is bounded (`memory_map_max`).
 */
import { readFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { FrontEnd, Message, regionBytes, u64 } from '../mock/front-end.js';
import { expectOk, Guest, type Key } from '../mock/guest.js';
import { type MemoryLayout, mock } from '../mock/mock.js';
import { Service } from '../mock/service.js';
import { pageOf } from './page.js';

const GIB = 2 ** 30;
const ATTACKERS = 7;
/** As many as the service takes. */
const REGIONS = 509;
/** The most that one table has; more come one by one. */
const TABLE_REGIONS = 8;
/** Of all attackers together nearly the 128 TiB that a process has. */
const LARGE_BYTES = 600 * GIB;
const REFUSED = 'request of the front end refused';

/** As many regions of the same bytes of one file. */
function regionsOf(sizeBytes: number): MemoryLayout[] {
  const size = BigInt(sizeBytes);
  return Array.from({ length: REGIONS }, (_, index) => ({
    guestPhysical: BigInt(index) * size,
    userspace: BigInt(index) * size,
    offset: 0n,
    size,
  }));
}

const oneMore: MemoryLayout = { guestPhysical: 1n << 40n, userspace: 1n << 40n, offset: 0n, size: 4096n };

let service: Service;
let bystander: Guest;
let pool: number;
let file: number;
let fronts: FrontEnd[];
const attackers = Array.from({ length: ATTACKERS }, (_, index) => `attacker${index}`);
const key = (index: number): Key => ({ pool, oid: [7n, 0n, 0n], index });

beforeAll(async () => {
  service = await Service.start({
    memory: '128MiB',
    guests: {
      ...Object.fromEntries(attackers.map((name) => [name, { memory_map_max: '1GiB' }])),
      bystander: {},
    },
  });
  bystander = new Guest(service.socket('bystander'));
  bystander.reset();
  pool = bystander.createPool(true);
  expectOk(bystander.put(1, key(0), pageOf(1)));
  file = mock.memfd(LARGE_BYTES);
});

afterEach(async () => {
  for (const front of fronts) front.close();
  expect(expectOk(bystander.get(1, key(0))).data.equals(pageOf(1))).toBe(true);
  expectOk(bystander.put(1, key(1), pageOf(2)));
  expect(await service.admin.check()).toEqual({ ok: true, problem: '' });
  expect(service.noise).toEqual([]);
});

afterAll(async () => {
  bystander.close();
  mock.closeFd(file);
  expect(await service.stop()).toEqual({ code: 0, signal: null });
});

function connectAll(): void {
  fronts = attackers.map((name) => {
    const front = new FrontEnd(service.socket(name));
    front.negotiate({ eventIdx: true });
    return front;
  });
}

function add(front: FrontEnd, region: MemoryLayout): void {
  front.set(Message.ADD_MEM_REG, Buffer.concat([u64(0), regionBytes(region)]), [file]);
}

function mappedBytes({ pid }: Service): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/VmSize:\s+(\d+)/.exec(status)?.[1]) * 1024;
}

/** The lines about refusals since there were so many. */
async function refusalsAfter(count: number, expected: number) {
  const lines = () => service.log.filter(({ msg }) => msg === REFUSED).slice(count);
  await expect.poll(() => lines().length).toBe(expected);
  return lines();
}

describe(`${ATTACKERS} front ends that each map ${REGIONS} regions of one sparse file`, () => {
  test('are refused with a line each, and take nothing from anybody', async () => {
    connectAll();
    const before = service.log.filter(({ msg }) => msg === REFUSED).length;
    const mapped = mappedBytes(service);
    for (const front of fronts) {
      expect(() => front.setMemoryTable(regionsOf(LARGE_BYTES).slice(0, TABLE_REGIONS), file)).toThrow(
        'refused',
      );
    }
    for (const line of await refusalsAfter(before, ATTACKERS)) {
      expect(line).toMatchObject({
        request: 'SET_MEM_TABLE',
        error: expect.stringContaining(
          `with it all regions are larger than the ${GIB} bytes of the guest's memory_map_max`,
        ),
      });
    }
    // Nothing is mapped even for a moment; what is left is room for threads' stacks and heaps.
    expect(mappedBytes(service) - mapped).toBeLessThan(16 * GIB);
    // What was refused is forgotten, and a table that fits is taken on the same connection.
    for (const front of fronts)
      front.setMemoryTable(regionsOf(GIB / TABLE_REGIONS).slice(0, TABLE_REGIONS), file);
  });

  test('are refused the one that is too much, when they come one by one', async () => {
    connectAll();
    const before = service.log.filter(({ msg }) => msg === REFUSED).length;
    const regions = regionsOf(GIB / 4);
    for (const front of fronts) {
      for (const region of regions.slice(0, 4)) add(front, region);
      for (const region of regions.slice(4, 6)) expect(() => add(front, region)).toThrow('refused');
      // The table stays as it was: one that goes makes room for one.
      front.set(Message.REM_MEM_REG, Buffer.concat([u64(0), ...regions.slice(0, 1).map(regionBytes)]));
      for (const region of regions.slice(4, 5)) add(front, region);
    }
    for (const line of await refusalsAfter(before, 2 * ATTACKERS)) {
      expect(line).toMatchObject({
        request: 'ADD_MEM_REG',
        error: expect.stringContaining('memory_map_max'),
      });
    }
  });

  test("are served when they fit, and the one more is its own sender's end", async () => {
    connectAll();
    for (const front of fronts) {
      expect(front.ask(Message.GET_MAX_MEM_SLOTS).readBigUInt64LE(0)).toBe(BigInt(REGIONS));
      for (const region of regionsOf(2 ** 20)) add(front, region);
    }
    const [first, ...others] = fronts;
    expect(() =>
      first?.set(Message.ADD_MEM_REG, Buffer.concat([u64(0), regionBytes(oneMore)]), [file]),
    ).toThrow();
    for (const front of others) expect(front.ask(Message.GET_QUEUE_NUM).length).toBe(8);
  });

  test('and say nothing of how much cannot take more than their share', async () => {
    fronts = [];
    const guests = Object.fromEntries([...attackers, 'other'].map((name) => [name, {}]));
    const plain = await Service.start({ memory: '128MiB', guests });
    try {
      const mapped = mappedBytes(plain);
      const claims = attackers.map((name) => new FrontEnd(plain.socket(name)));
      for (const front of claims) {
        front.negotiate({ eventIdx: true });
        // How many there is room for goes by the host's memory; never for all of them.
        const claim = () => {
          for (const region of regionsOf(LARGE_BYTES)) add(front, region);
        };
        expect(claim).toThrow('refused');
      }
      expect(mappedBytes(plain) - mapped).toBeLessThan(33 * 1024 * GIB);
      const other = new Guest(plain.socket('other'));
      other.reset();
      other.close();
      for (const front of claims) front.close();
    } finally {
      expect(await plain.stop()).toEqual({ code: 0, signal: null });
    }
  });
});
