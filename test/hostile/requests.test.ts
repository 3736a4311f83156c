/** Requests that break the contract's rules: answered as it says, and nothing is done. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type Guest, PAGE_BYTES } from '../mock/guest.js';
import { type Request, type Shape, wire } from '../mock/mock.js';
import { pageOf } from './page.js';
import { OwnPage, Scene } from './scene.js';

let scene: Scene;
beforeAll(async () => {
  scene = await Scene.open();
});
afterEach(() => scene.expectUnharmed());
afterAll(() => scene.close());

interface Case {
  request: Request;
  pages?: number;
  shape?: Shape;
  queue?: number;
}

const MAX_PAGES = 8; // of the attacker, by its configuration
const oid = OwnPage.key.oid;
const put = { op: wire.OP_PUT, oid, index: 5, nrPages: 1 };
const get = { op: wire.OP_GET, oid, index: 5, nrPages: 1 };
const flush = { op: wire.OP_FLUSH, oid, index: 5, nrPages: 1 };
const flushObject = { op: wire.OP_FLUSH_OBJECT, oid };

const badRequests: Record<string, Case> = {
  'op 0': { request: { op: 0 } },
  'an op past the last control op': { request: { op: 0x06 }, queue: 0 },
  'an op past the last page op': { request: { op: 0x14 } },
  'op 0xffff': { request: { op: 0xffff } },
  'an op that is a legal one with a high bit': { request: { ...flush, op: 0x8012 } },
  'RESET on a request queue': { request: { op: wire.OP_RESET } },
  'POOL_DESTROY on a request queue': { request: { op: wire.OP_POOL_DESTROY } },
  'STAT on a request queue': { request: { op: wire.OP_STAT } },
  'PUT on the control queue': { request: put, pages: 1, queue: 0 },
  'GET on the control queue': { request: get, queue: 0 },
  'FLUSH on the control queue': { request: flush, queue: 0 },
  'RESET of a pool': { request: { op: wire.OP_RESET, pool: 1 }, queue: 0 },
  'RESET with flags': { request: { op: wire.OP_RESET, flags: 1 }, queue: 0 },
  'RESET with an object': { request: { op: wire.OP_RESET, oid: [0n, 0n, 1n] }, queue: 0 },
  'RESET with a page count': { request: { op: wire.OP_RESET, nrPages: 1 }, queue: 0 },
  'RESET with data': { request: { op: wire.OP_RESET }, shape: { readableExtra: 1 }, queue: 0 },
  'POOL_CREATE of 8 KiB pages': { request: { op: wire.OP_POOL_CREATE, index: 13 }, queue: 0 },
  'POOL_CREATE of no page size': { request: { op: wire.OP_POOL_CREATE, index: 0 }, queue: 0 },
  'POOL_CREATE with an unknown flag': {
    request: { op: wire.OP_POOL_CREATE, index: 12, flags: 4 },
    queue: 0,
  },
  'POOL_CREATE that names a pool': { request: { op: wire.OP_POOL_CREATE, index: 12, pool: 3 }, queue: 0 },
  'POOL_DESTROY with an index': { request: { op: wire.OP_POOL_DESTROY, index: 1 }, queue: 0 },
  'ATTACH with a second word': { request: { op: wire.OP_ATTACH, oid: [1n, 1n, 0n] }, queue: 0 },
  'PUT of no pages': { request: { ...put, nrPages: 0 } },
  'PUT of more pages than allowed': { request: { ...put, nrPages: MAX_PAGES + 1 }, pages: MAX_PAGES },
  'PUT of 2^32 - 1 pages': { request: { ...put, nrPages: 0xffffffff }, pages: 1 },
  'PUT past the last index': { request: { ...put, index: 0xffffffff, nrPages: 2 }, pages: 2 },
  'PUT with flags': { request: { ...put, flags: 1 }, pages: 1 },
  'PUT without data': { request: put },
  'PUT with a byte too little': { request: put, pages: 1, shape: { readableExtra: -1 } },
  'PUT with a byte too much': { request: put, pages: 1, shape: { readableExtra: 1 } },
  'PUT with room for data': { request: put, pages: 1, shape: { writableExtra: 64 } },
  'PUT of two pages with the data of one': { request: { ...put, nrPages: 2 }, pages: 1 },
  'GET of no pages': { request: { ...get, nrPages: 0 } },
  'GET of more pages than allowed': {
    request: { ...get, nrPages: MAX_PAGES + 1 },
    shape: { writableExtra: 4080 },
  },
  'GET past the last index': { request: { ...get, index: 0xfffffffe, nrPages: 3 } },
  'GET with an unknown flag': { request: { ...get, flags: 2 } },
  'an exclusive GET of a persistent pool': { request: { ...get, flags: wire.GET_EXCLUSIVE } },
  'GET with room for less than a page': { request: get, shape: { writableExtra: -1 } },
  'GET with room for more than a page': { request: get, shape: { writableExtra: 1 } },
  'GET with no room': { request: get, shape: { writableExtra: -PAGE_BYTES } },
  'GET with data': { request: get, pages: 1 },
  'FLUSH of no pages': { request: { ...flush, nrPages: 0 } },
  'FLUSH past the last index': { request: { ...flush, index: 2, nrPages: 0xffffffff } },
  'FLUSH with flags': { request: { ...flush, flags: 1 } },
  'FLUSH with data': { request: flush, pages: 1 },
  'FLUSH_OBJECT with an index': { request: { ...flushObject, index: 1 } },
  'FLUSH_OBJECT with a page count': { request: { ...flushObject, nrPages: 1 } },
  'a request of 39 bytes': { request: flush, shape: { readableExtra: -1 } },
  'a request of one byte': { request: flush, shape: { readableExtra: -39 } },
  'a request of no bytes': { request: flush, shape: { readableExtra: -40 } },
  'a request of 41 bytes': { request: flush, shape: { readableExtra: 1 } },
  'a response part of 17 bytes': { request: flush, shape: { writableExtra: 1 } },
};

function perform(guest: Guest, { request, pages = 0, shape, queue = 1 }: Case) {
  const data = Buffer.concat(Array.from({ length: pages }, (_, i) => pageOf(i)));
  return guest.request(queue, request, data, shape);
}

describe('requests', () => {
  test.each(Object.entries(badRequests))('%s is BAD_REQUEST, with nothing done', (_name, attack) => {
    const guest = scene.attacker();
    const own = new OwnPage().put(guest);
    const { status, nrDone, usedLength } = perform(guest, attack);
    expect({ status, nrDone, usedLength }).toEqual({
      status: wire.S_BAD_REQUEST,
      nrDone: 0,
      usedLength: 16,
    });
    own.expectIntact(guest);
    expect(guest.request(0, { op: wire.OP_STAT, pool: wire.ALL_POOLS }).value).toBe(1n);
  });

  test.each([1, 19, 64, 65535, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff])(
    'pool %i, which is nobody’s, is NO_POOL to every op',
    (pool) => {
      const guest = scene.attacker();
      const own = new OwnPage().put(guest);
      for (const { request, pages } of [
        { request: put, pages: 1 },
        { request: get, pages: 0 },
        { request: flush, pages: 0 },
        { request: flushObject, pages: 0 },
      ]) {
        const done = perform(guest, { request: { ...request, pool }, pages });
        expect({ op: request.op, status: done.status, nrDone: done.nrDone }).toEqual({
          op: request.op,
          status: wire.S_NO_POOL,
          nrDone: 0,
        });
      }
      expect(guest.request(0, { op: wire.OP_POOL_DESTROY, pool }).status).toBe(wire.S_NO_POOL);
      // To STAT the last ones are not pools.
      if (pool < wire.STAT_LIMIT)
        expect(guest.request(0, { op: wire.OP_STAT, pool }).status).toBe(wire.S_NO_POOL);
      own.expectIntact(guest);
    },
  );

  test('a shared pool is DENIED, never silently a private one', () => {
    const guest = scene.attacker();
    const flags = wire.POOL_SHARED | wire.POOL_PERSISTENT;
    const done = guest.request(0, { op: wire.OP_POOL_CREATE, flags, index: 12 });
    expect(done).toMatchObject({ status: wire.S_DENIED, value: 0n });
    expect(perform(guest, { request: { ...put, pool: 1 }, pages: 1 }).status).toBe(wire.S_NO_POOL);
  });

  test('pools past the configured most are TOO_MANY, and a destroyed one’s id does not come back', () => {
    const guest = scene.attacker();
    const pools = Array.from({ length: 19 }, () => guest.createPool(false));
    expect(new Set(pools).size).toBe(19);
    const create = { op: wire.OP_POOL_CREATE, index: 12 };
    expect(guest.request(0, create).status).toBe(wire.S_TOO_MANY);
    expect(guest.request(0, { op: wire.OP_POOL_DESTROY, pool: 7 }).status).toBe(wire.S_OK);
    const next = guest.createPool(true);
    expect([0, ...pools]).not.toContain(next);
    expect(perform(guest, { request: { ...get, pool: 7 } }).status).toBe(wire.S_NO_POOL);
  });

  test('before RESET or ATTACH everything is NO_SESSION, and a made-up session is too', () => {
    const guest = scene.attacker();
    const session = guest.reset();
    guest.close();
    const next = scene.attach();
    expect(perform(next, { request: put, pages: 1 }).status).toBe(wire.S_NO_SESSION);
    expect(perform(next, { request: get }).status).toBe(wire.S_NO_SESSION);
    expect(next.request(0, { op: wire.OP_POOL_CREATE, index: 12 }).status).toBe(wire.S_NO_SESSION);
    for (const id of [0n, 1n, session, session + 1n, 2n ** 64n - 1n]) {
      expect(next.request(0, { op: wire.OP_ATTACH, oid: [id, 0n, 0n] }).status, `session ${id}`).toBe(
        wire.S_NO_SESSION,
      );
    }
  });

  test('the ends of the index range are pages like any other', () => {
    const guest = scene.attacker();
    const last = { pool: 0, oid, index: 0xffffffff };
    expect(guest.put(1, last, pageOf(1)).status).toBe(wire.S_OK);
    expect(guest.get(1, last).data.equals(pageOf(1))).toBe(true);
    expect(guest.get(1, { ...last, index: 0 }).status).toBe(wire.S_MISS);
    expect(guest.flush(1, { ...last, index: 1 }, 0xffffffff)).toMatchObject({
      status: wire.S_OK,
      nrDone: 0xffffffff,
    });
    expect(guest.get(1, last).status).toBe(wire.S_MISS);
  });

  test('a thousand bad requests in a row leave no lock held', () => {
    const guest = scene.attacker();
    const own = new OwnPage().put(guest);
    const cases = Object.values(badRequests);
    for (let round = 0; round < 1000; round += 1) {
      const attack = cases[round % cases.length];
      if (attack) expect(perform(guest, attack).status).toBe(wire.S_BAD_REQUEST);
    }
    own.expectIntact(guest);
    expect(perform(guest, { request: { ...put, index: 6 }, pages: 1 }).status).toBe(wire.S_OK);
  });
});
