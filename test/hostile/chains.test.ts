/** Descriptor chains that no driver would build: each comes back, answered or not, and harms nobody. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { wire } from '../mock/mock.js';
import { Forge, INDIRECT, NEXT, REQUEST_BYTES, RESPONSE_BYTES, WRITE } from './forge.js';
import { OwnPage, Scene } from './scene.js';

let scene: Scene;
beforeAll(async () => {
  scene = await Scene.open();
});
afterEach(() => scene.expectUnharmed());
afterAll(() => scene.close());

/** Builds a chain and returns its head. */
type Build = (forge: Forge) => number;

/** A chain whose request part is as given and whose response part is well-formed. */
function readableAt(address: (forge: Forge) => bigint, length = REQUEST_BYTES): Build {
  return (f) =>
    f.table(
      f.slot,
      { address: address(f), length, flags: NEXT, next: f.slot + 1 },
      { ...f.writable(), next: 0 },
    );
}

function writableAt(address: (forge: Forge) => bigint, length = RESPONSE_BYTES): Build {
  return (f) => f.table(f.slot, f.readable(f.slot + 1), { address: address(f), length, flags: WRITE });
}

const wellFormedIndirect: Build = (f) => f.indirect(f.tableAt(f.room, f.readable(1), f.writable()), 2 * 16);

const region = (f: Forge, index: number) => {
  const found = f.guest.layout[index];
  if (!found) throw new RangeError(`no region ${index}`);
  return found;
};
const endOf = (f: Forge, index: number) => region(f, index).guestPhysical + region(f, index).size;

const tooBroken: Record<string, Build> = {
  'a head just beyond the table': (f) => f.tableSize,
  'a head of 0xffff': () => 0xffff,
  'next just beyond the table': (f) => f.table(f.slot, f.readable(f.tableSize), f.writable()),
  'next of 0xffff': (f) => f.table(f.slot, f.readable(0xffff)),
  'a descriptor that is its own next': (f) => f.table(f.slot, f.readable(f.slot)),
  'a loop of two': (f) => f.table(f.slot, f.readable(f.slot + 1), f.readable(f.slot)),
  'a loop of empty descriptors': (f) =>
    f.table(f.slot, { address: f.request, length: 0, flags: NEXT, next: f.slot }),
  'a loop of writable descriptors': (f) => f.table(f.slot, f.writable({ flags: WRITE | NEXT, next: f.slot })),
  'a request at address 0': readableAt(() => 0n),
  'a request in the gap between regions': readableAt((f) => endOf(f, 0) + 4096n),
  'a request at the last address there is': readableAt(() => 2n ** 64n - 1n),
  'a request that wraps around the end of the address space': readableAt(() => 2n ** 64n - 16n),
  'a request that starts in memory and ends behind it': readableAt((f) => endOf(f, 3) - 39n),
  'a request that runs from memory into the gap': readableAt((f) => endOf(f, 0) - 1n),
  'a request that starts in the gap and ends in memory': readableAt((f) => region(f, 1).guestPhysical - 1n),
  'a request of 4 GiB less one byte': readableAt((f) => f.request, 0xffffffff),
  'a response at address 0': writableAt(() => 0n),
  'a response in the gap': writableAt((f) => endOf(f, 0) + 16n),
  'a response that starts in memory and ends behind it': writableAt((f) => endOf(f, 3) - 15n),
  'a response of 4 GiB less one byte': writableAt((f) => f.response, 0xffffffff),
  'an address the front end uses, not the guest': writableAt((f) => region(f, 1).userspace),
  'lengths that sum up to far more than 4 GiB': (f) =>
    f.table(
      f.slot,
      ...Array.from({ length: 100 }, (_, i) => ({
        address: f.request,
        length: 0xffffffff,
        flags: NEXT,
        next: f.slot + i + 1,
      })),
      f.writable(),
    ),
  'readable after writable': (f) =>
    f.table(f.slot, f.writable({ flags: WRITE | NEXT, next: f.slot + 1 }), {
      address: f.request,
      length: REQUEST_BYTES,
    }),
  'no response part': (f) => f.table(f.slot, { address: f.request, length: REQUEST_BYTES }),
  'a response part of 15 bytes': writableAt((f) => f.response, RESPONSE_BYTES - 1),
  'a chain of nothing': (f) => f.table(f.slot, { address: 0n, length: 0 }),
  'an indirect table in an indirect table': (f) => {
    const inner = f.tableAt(f.room, f.readable(1), f.writable());
    return f.indirect(f.tableAt(f.room + 1024n, { address: inner, length: 32, flags: INDIRECT }), 16);
  },
  'an indirect table that is itself': (f) =>
    f.indirect(f.tableAt(f.room, { address: f.room, length: 16, flags: INDIRECT }), 16),
  'an indirect descriptor with next': (f) => {
    wellFormedIndirect(f);
    return f.table(f.slot, { address: f.room, length: 32, flags: INDIRECT | NEXT, next: f.slot + 1 });
  },
  'an indirect table of no bytes': (f) => f.indirect(f.room, 0),
  'an indirect table of 33 bytes': (f) => f.indirect(f.tableAt(f.room, f.readable(1), f.writable()), 33),
  'an indirect table longer than the queue': (f) =>
    f.indirect(f.tableAt(f.room, f.readable(1), f.writable()), 16 * (f.tableSize + 1)),
  'an indirect table of 4 GiB less 16 bytes': (f) => f.indirect(f.room, 0xfffffff0),
  'an indirect table outside memory': (f) => f.indirect(endOf(f, 0) + 64n, 32),
  'an indirect table that ends behind memory': (f) => f.indirect(endOf(f, 3) - 16n, 32),
  'a loop in an indirect table': (f) => f.indirect(f.tableAt(f.room, f.readable(1), f.readable(0)), 32),
  'next beyond the indirect table, but not beyond the ring': (f) =>
    f.indirect(f.tableAt(f.room, f.readable(2), f.writable()), 32),
};

const wellFormed: Record<string, Build> = {
  'a plain chain': (f) => f.table(f.slot, f.readable(f.slot + 1), f.writable()),
  'an indirect table': wellFormedIndirect,
  'an indirect table at an odd address': (f) =>
    f.indirect(f.tableAt(f.room + 1n, f.readable(1), f.writable()), 32),
  'a request across two regions that touch': (f) => {
    const across = endOf(f, 1) - 13n;
    f.guest.memory.write(across, f.guest.memory.read(f.request, REQUEST_BYTES));
    return readableAt(() => across)(f);
  },
  'an indirect table across two regions that touch': (f) =>
    f.indirect(f.tableAt(endOf(f, 1) - 17n, f.readable(1), f.writable()), 32),
  'empty descriptors between the parts': (f) =>
    f.table(
      f.slot,
      { address: f.request, length: 0, flags: NEXT, next: f.slot + 1 },
      f.readable(f.slot + 2),
      { address: f.request, length: 0, flags: NEXT, next: f.slot + 3 },
      f.writable(),
    ),
  'a request byte by byte': (f) =>
    f.table(
      f.slot,
      ...Array.from({ length: REQUEST_BYTES }, (_, i) => ({
        address: f.request + BigInt(i),
        length: 1,
        flags: NEXT,
        next: f.slot + i + 1,
      })),
      f.writable(),
    ),
};

describe.each([
  ['with EVENT_IDX', true],
  ['without EVENT_IDX', false],
])('chains %s', (_title, eventIdx) => {
  test.each(Object.entries(tooBroken))('%s is consumed unanswered, and the queue goes on', (_name, build) => {
    const guest = scene.attacker({ eventIdx });
    const own = new OwnPage().put(guest);
    for (const queueIndex of [1, 0]) {
      const forge = new Forge(guest, queueIndex);
      expect(forge.outcome(build(forge)), `queue ${queueIndex}`).toEqual({ kind: 'consumed' });
      expect(forge.responseTouched).toBe(false);
    }
    own.expectIntact(guest);
    own.expectIntact(guest, 2);
    expect(guest.request(0, { op: wire.OP_STAT, pool: 0 }).value).toBe(1n);
  });

  test.each(Object.entries(wellFormed))('%s is served', (_name, build) => {
    const forge = new Forge(scene.attacker({ eventIdx }));
    expect(forge.outcome(build(forge))).toEqual({ kind: 'answered', status: wire.S_OK });
  });
});
