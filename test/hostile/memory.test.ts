/** Guest memory that is pulled away, moved or added to while requests run. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Message, regionBytes, u32, u64 } from '../mock/front-end.js';
import type { Guest } from '../mock/guest.js';
import { mock, wire } from '../mock/mock.js';
import { DESCRIPTOR_BYTES, Forge } from './forge.js';
import { pageOf } from './page.js';
import { OwnPage, Scene } from './scene.js';

let scene: Scene;
beforeAll(async () => {
  scene = await Scene.open();
});
afterEach(() => scene.expectUnharmed());
afterAll(() => scene.close());

const LOST = 'connection closed: guest memory lost';
const BROKE = 'guest broke a queue';

/** Where in the memfd a region begins. */
function offsetOf(guest: Guest, index: number): number {
  return Number(guest.layout[index]?.offset);
}

function puts(guest: Guest, count: number): void {
  for (let index = 0; index < count; index += 1) {
    guest.submit(1, { op: wire.OP_PUT, pool: 0, oid: [9n, 0n, 0n], index, nrPages: 1 }, pageOf(index));
  }
}

describe('a memfd that is truncated', () => {
  test.each([
    ['every request', 1],
    ['one chain in a region of its own', 3],
  ])('under %s costs the attacker its connection, nobody else anything', async (_name, region) => {
    const guest = scene.attacker();
    const forge = new Forge(guest);
    const lost = scene.timesLogged(LOST);
    // Chains and rings stay whole; what the chains point to goes.
    const address = region === 3 ? forge.request : (guest.layout[region]?.guestPhysical ?? 0n);
    const head = forge.table(forge.slot, { ...forge.readable(forge.slot + 1), address }, forge.writable());
    guest.ring(1).addHead(head);
    guest.memory.truncate(offsetOf(guest, region));
    forge.guest.ring(1).publish();
    forge.guest.ring(1).kick();
    await scene.logged(LOST, lost + 1);
    expect(guest.frontEnd.untilClosed()).toBeDefined();
  });

  test('to nothing, rings and all, while requests are being served', async () => {
    const guest = scene.attacker({ slots: 60 });
    const lost = scene.timesLogged(LOST);
    puts(guest, 60);
    guest.ring(1).publish();
    guest.ring(1).kick();
    guest.memory.truncate(0);
    guest.ring(1).kick();
    await scene.logged(LOST, lost + 1);
    expect(guest.frontEnd.untilClosed()).toBeDefined();
  });

  test('to nothing while the guest is idle is noticed at the next kick', async () => {
    const guest = scene.attacker();
    const lost = scene.timesLogged(LOST);
    guest.memory.truncate(0);
    guest.ring(2).kick();
    await scene.logged(LOST, lost + 1);
    expect(guest.frontEnd.untilClosed()).toBeDefined();
  });

  test('before its rings are started is refused', () => {
    const guest = scene.attacker();
    guest.frontEnd.stopRing(1);
    guest.memory.truncate(offsetOf(guest, 1));
    const payload = Buffer.concat([u32(guest.layout.length, 0), ...guest.layout.map(regionBytes)]);
    expect(() =>
      guest.frontEnd.set(
        Message.SET_MEM_TABLE,
        payload,
        guest.layout.map(() => guest.memory.fd()),
      ),
    ).toThrow('refused');
  });
});

describe('a memory table that changes', () => {
  test('to the same again, while requests are in flight, loses and repeats none', () => {
    const guest = scene.attacker({ slots: 60 });
    const own = new OwnPage().put(guest);
    for (let round = 0; round < 10; round += 1) {
      puts(guest, 40);
      guest.publish(1);
      guest.frontEnd.setMemoryTable(guest.layout, guest.memory.fd());
      for (let count = 0; count < 40; count += 1) expect(guest.next(1).status).toBe(wire.S_OK);
    }
    own.expectIntact(guest);
  });

  test('to one without the rings breaks them, and the connection goes on', async () => {
    const guest = scene.attacker();
    const broken = scene.timesLogged(BROKE);
    guest.frontEnd.setMemoryTable(guest.layout.slice(1), guest.memory.fd());
    await scene.logged(BROKE, broken + 3);
    guest.frontEnd.setMemoryTable(guest.layout, guest.memory.fd());
    for (const index of [0, 1, 2]) {
      guest.frontEnd.stopRing(index);
      guest.ring(index).reset();
      guest.startRing(index);
    }
    new OwnPage().put(guest).expectIntact(guest, 2);
  });

  test('to one without the data turns requests into chains too broken to answer', () => {
    const guest = scene.attacker();
    const forge = new Forge(guest);
    guest.frontEnd.setMemoryTable(guest.layout.slice(0, 3), guest.memory.fd());
    const head = forge.table(forge.slot, forge.readable(forge.slot + 1), forge.writable());
    expect(forge.outcome(head)).toEqual({ kind: 'consumed' });
  });

  test('region by region, added and removed while requests run', () => {
    const guest = scene.attacker();
    const own = new OwnPage().put(guest);
    const more = { guestPhysical: 0x2_0000_0000n, userspace: 0x7000_0000_0000n, offset: 0n, size: 1n << 20n };
    const fd = mock.memfd(1 << 20);
    for (let round = 0; round < 10; round += 1) {
      puts(guest, 20);
      guest.publish(1);
      guest.frontEnd.set(Message.ADD_MEM_REG, Buffer.concat([u64(0), regionBytes(more)]), [fd]);
      // A chain in the new region is served while it is there and consumed when it is gone.
      const forge = new Forge(guest, 2);
      const table = more.guestPhysical + BigInt(round * DESCRIPTOR_BYTES);
      const head = forge.table(
        forge.slot,
        { ...forge.readable(forge.slot + 1), address: table },
        forge.writable(),
      );
      expect(forge.outcome(head)).toEqual({ kind: 'answered', status: wire.S_BAD_REQUEST });
      guest.frontEnd.set(Message.REM_MEM_REG, Buffer.concat([u64(0), regionBytes(more)]));
      expect(forge.outcome(head)).toEqual({ kind: 'consumed' });
      for (let count = 0; count < 20; count += 1) expect(guest.next(1).status).toBe(wire.S_OK);
    }
    mock.closeFd(fd);
    own.expectIntact(guest);
  });
});
