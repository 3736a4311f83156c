/** Rings used against their rules: at worst the attacker's own queue breaks. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Message, u32, u64 } from '../mock/front-end.js';
import { type Guest, PAGE_BYTES } from '../mock/guest.js';
import { wire } from '../mock/mock.js';
import { Forge, NEXT, RESPONSE_BYTES, WRITE } from './forge.js';
import { pageOf } from './page.js';
import { OwnPage, Scene } from './scene.js';

let scene: Scene;
beforeAll(async () => {
  scene = await Scene.open();
});
afterEach(() => scene.expectUnharmed());
afterAll(() => scene.close());

const BROKE = 'guest broke a queue';
/** Long enough for a worker to have seen what it should not act upon. */
const SILENCE_MS = 100;

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value & 0xffff);
  return bytes;
}

function writeAvailableIndex(guest: Guest, queueIndex: number, index: number): void {
  const ring = guest.ring(queueIndex);
  guest.memory.write(ring.layout().available + 2n, u16(index));
  ring.kick();
}

/** 40 + 4096 + 16 bytes in flight, `count` times, published and kicked without waiting. */
function flood(guest: Guest, queueIndex: number, count: number): void {
  for (let index = 0; index < count; index += 1) {
    const request = { op: wire.OP_PUT, pool: 0, oid: [9n, 0n, 0n] as const, index, nrPages: 1 };
    guest.submit(queueIndex, request, pageOf(index));
  }
  guest.ring(queueIndex).publish();
  guest.ring(queueIndex).kick();
}

describe.each([
  ['with EVENT_IDX', true],
  ['without EVENT_IDX', false],
])('rings %s', (_title, eventIdx) => {
  test.each([257, 300, 0x7fff, 0x8000, 0xfffe, 0xffff])(
    'an available index %i ahead breaks that queue alone',
    async (ahead) => {
      const guest = scene.attacker({ eventIdx });
      const own = new OwnPage().put(guest);
      const broken = scene.timesLogged(BROKE);
      writeAvailableIndex(guest, 1, 1 + ahead);
      await scene.logged(BROKE, broken + 1);
      own.expectIntact(guest, 2);
      expect(guest.request(0, { op: wire.OP_STAT, pool: 0 }).value).toBe(1n);
    },
  );

  test('a queue that was broken works again once it was stopped and started', async () => {
    const guest = scene.attacker({ eventIdx });
    const own = new OwnPage().put(guest);
    const broken = scene.timesLogged(BROKE);
    writeAvailableIndex(guest, 1, 5000);
    await scene.logged(BROKE, broken + 1);
    guest.frontEnd.stopRing(1);
    guest.ring(1).reset();
    guest.startRing(1);
    own.expectIntact(guest);
  });

  test('an available index a whole ring ahead offers what lies there, each chain once', () => {
    const guest = scene.attacker({ eventIdx });
    const forge = new Forge(guest);
    const head = forge.table(forge.slot, forge.readable(forge.slot + 1), forge.writable());
    const { available, size } = guest.ring(1).layout();
    for (let slot = 0; slot < size; slot += 1)
      guest.memory.write(available + 4n + BigInt(2 * slot), u16(head));
    writeAvailableIndex(guest, 1, size);
    for (let count = 0; count < size; count += 1) {
      if (!guest.ring(1).wait(10_000, false)) throw new Error(`only ${count} came back`);
      expect(guest.ring(1).take()).toEqual({ head, length: RESPONSE_BYTES });
    }
    expect(guest.ring(1).wait(SILENCE_MS, false)).toBe(false);
  });

  test('the same head offered twice is answered twice', () => {
    const forge = new Forge(scene.attacker({ eventIdx }));
    const ring = forge.guest.ring(1);
    const head = forge.table(forge.slot, forge.readable(forge.slot + 1), forge.writable());
    ring.addHead(head);
    ring.addHead(head);
    ring.publish();
    ring.kick();
    for (const _ of [1, 2]) {
      expect(ring.wait(10_000, false)).toBe(true);
      expect(ring.take()).toEqual({ head, length: RESPONSE_BYTES });
    }
  });

  test.each([0, 1, 0x7fff, 0x8000, 0xffff])('used_event and flags of %i stop nothing', (poison) => {
    const guest = scene.attacker({ eventIdx });
    const own = new OwnPage().put(guest);
    const { available, size } = guest.ring(1).layout();
    guest.memory.write(available, u16(poison));
    guest.memory.write(available + 4n + BigInt(2 * size), u16(poison));
    for (let round = 0; round < 50; round += 1) own.expectIntact(guest);
  });

  test('a driver that scribbles over the used ring and the event index confuses only itself', () => {
    const guest = scene.attacker({ eventIdx });
    const own = new OwnPage().put(guest);
    const { used, size } = guest.ring(1).layout();
    for (let round = 0; round < 20; round += 1) {
      guest.memory.write(used + 4n, Buffer.alloc(8 * size + 2, 0xff));
      guest.submit(1, { op: wire.OP_GET, ...OwnPage.key, nrPages: 1 });
      guest.ring(1).publish();
      guest.ring(1).kick();
      expect(guest.next(1).status).toBe(wire.S_OK);
    }
    own.expectIntact(guest, 2);
  });

  test.each([
    ['the descriptor table', (l: { descriptors: bigint }) => l.descriptors],
    ['the available ring', (l: { available: bigint }) => l.available],
    ['the used ring', (l: { used: bigint }) => l.used],
  ] as const)('a page got into %s harms nobody else', async (_name, target) => {
    const guest = scene.attacker({ eventIdx });
    const own = new OwnPage().put(guest);
    const forge = new Forge(guest);
    const request = Buffer.alloc(40);
    request.writeUInt16LE(wire.OP_GET, 0);
    for (const [word, value] of OwnPage.key.oid.entries()) request.writeBigUInt64LE(value, 8 + 8 * word);
    request.writeUInt32LE(OwnPage.key.index, 32);
    request.writeUInt32LE(1, 36);
    guest.memory.write(forge.request, request);
    const head = forge.table(
      forge.slot,
      forge.readable(forge.slot + 1),
      forge.writable({ flags: WRITE | NEXT, next: forge.slot + 2 }),
      { address: target(guest.ring(1).layout() as never), length: PAGE_BYTES, flags: WRITE },
    );
    forge.offer(head);
    guest.ring(1).wait(SILENCE_MS, false);
    own.expectIntact(guest, 2);
    scene.bystander.verify();
  });

  test('rings that lie on one another harm nobody else', () => {
    const guest = scene.attacker({ eventIdx });
    const own = new OwnPage().put(guest);
    guest.frontEnd.stopRing(1);
    const { descriptors } = guest.ring(1).layout();
    const at = guest.memory.userspaceOf(descriptors);
    const { frontEnd } = guest;
    frontEnd.set(Message.SET_VRING_NUM, u32(1, 256));
    frontEnd.set(Message.SET_VRING_BASE, u32(1, 0));
    frontEnd.set(Message.SET_VRING_ADDR, Buffer.concat([u32(1, 0), u64(at, at, at, 0)]));
    frontEnd.set(Message.SET_VRING_KICK, u64(1), [guest.ring(1).layout().kickFd]);
    frontEnd.set(Message.SET_VRING_ENABLE, u32(1, 1));
    for (let index = 0; index < 200; index += 1) {
      guest.memory.write(descriptors, pageOf(index));
      guest.memory.write(descriptors + 2n, u16(index));
      guest.ring(1).kick();
    }
    own.expectIntact(guest, 2);
  });

  test('descriptors that change while they are read are served or consumed, nothing else', () => {
    const guest = scene.attacker({ eventIdx });
    const forge = new Forge(guest);
    const ring = guest.ring(1);
    const first = forge.slot;
    const forms = [
      [forge.readable(first + 1), forge.writable()],
      [forge.readable(first), forge.writable()],
      [{ ...forge.readable(first + 1), address: 2n ** 64n - 8n }, forge.writable()],
      [forge.readable(first + 1), forge.writable({ length: 0xffffffff })],
      [{ ...forge.readable(first + 1), length: 0 }, forge.writable({ flags: 0 })],
    ];
    let offered = 0;
    let returned = 0;
    for (let round = 0; round < 3000; round += 1) {
      const form = forms[round % forms.length];
      if (form) forge.table(first, ...form);
      if (offered - returned < 32) {
        ring.addHead(first);
        offered += 1;
        if (ring.publish()) ring.kick();
      }
      for (let used = ring.take(); used; used = ring.take()) {
        expect(used.head).toBe(first);
        expect([0, RESPONSE_BYTES]).toContain(used.length);
        returned += 1;
      }
    }
    while (returned < offered) {
      expect(ring.wait(10_000, false)).toBe(true);
      ring.take();
      returned += 1;
    }
  });

  test('requests are dropped or done when their ring is stopped under them, and none is done twice', () => {
    const guest = scene.attacker({ eventIdx, ringSize: 512, slots: 60 });
    for (let round = 0; round < 20; round += 1) {
      flood(guest, 1, 40);
      const base = guest.frontEnd.stopRing(1);
      let returned = 0;
      while (guest.queue(1).take()) returned += 1;
      expect(base, 'the next available index is what was answered').toBe((round * 40 + returned) & 0xffff);
      guest.startRing(1, base);
      for (; returned < 40; returned += 1) expect(guest.next(1).status).toBe(wire.S_OK);
    }
  });

  test('a reset of the device, a reset of the session and the end of the connection come at any moment', () => {
    const guest = scene.attacker({ eventIdx, slots: 60 });
    flood(guest, 1, 40);
    expect(guest.reset()).not.toBe(0n);
    expect(guest.createPool(true)).toBe(0);
    for (let count = 0; count < 40; count += 1) guest.next(1);
    flood(guest, 2, 40);
    guest.frontEnd.set(Message.RESET_DEVICE);
    flood(guest, 1, 40);
    guest.close();
  });
});
