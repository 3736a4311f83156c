/**
 * A hostile driver of the disk: each request comes back, answered or not, the
 * disk holds what it held, and nobody else notices. What every ring has in
 * common is in chains.test.ts and rings.test.ts; what each request may say, in
 * test/native/device_blk_test.cc, under the sanitizers.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Blk, type BlkGuest, type BlkRequest, rangeBytes, SECTOR_BYTES } from '../mock/blk-guest.js';
import type { Segment } from '../mock/mock.js';
import { pageOf } from './page.js';
import { Scene } from './scene.js';

const DISK_SECTORS = (8 << 20) / SECTOR_BYTES;
const ANSWER_MS = 60_000;

let scene: Scene;
beforeAll(async () => {
  scene = await Scene.open();
});
afterEach(() => scene.expectUnharmed());
afterAll(() => scene.close());

const sector = Buffer.alloc(SECTOR_BYTES, 0xff);

const refused: Record<string, [status: number, request: BlkRequest]> = {
  'a read of no whole sector': [Blk.IOERR, { type: Blk.IN, roomBytes: 511 }],
  'a write of no whole sector': [Blk.IOERR, { type: Blk.OUT, data: Buffer.alloc(513) }],
  'a write behind the end': [Blk.IOERR, { type: Blk.OUT, sector: DISK_SECTORS, data: sector }],
  'a read across the end': [Blk.IOERR, { type: Blk.IN, sector: DISK_SECTORS - 1, roomBytes: 1024 }],
  'a write at the last sector of 64 bits': [
    Blk.IOERR,
    { type: Blk.OUT, sector: 2n ** 64n - 1n, data: sector },
  ],
  'a write whose byte offset wraps to 0': [Blk.IOERR, { type: Blk.OUT, sector: 2n ** 55n, data: sector }],
  'a header cut short': [Blk.IOERR, { type: Blk.OUT, shape: { readableExtra: -1 } }],
  'a discard of no range': [Blk.IOERR, { type: Blk.DISCARD }],
  'a discard of half a range': [Blk.IOERR, { type: Blk.DISCARD, data: Buffer.alloc(8) }],
  'a discard of 17 ranges': [Blk.IOERR, { type: Blk.DISCARD, data: Buffer.alloc(17 * 16) }],
  'a discard of 2 TiB': [
    Blk.IOERR,
    { type: Blk.DISCARD, data: rangeBytes([{ sector: 0, sectors: 0xffff_ffff }]) },
  ],
  'a good range and one behind the end': [
    Blk.IOERR,
    {
      type: Blk.WRITE_ZEROES,
      data: rangeBytes([
        { sector: 0, sectors: 8 },
        { sector: DISK_SECTORS, sectors: 1 },
      ]),
    },
  ],
  'a discard with UNMAP': [
    Blk.UNSUPP,
    { type: Blk.DISCARD, data: rangeBytes([{ sector: 0, sectors: 8, flags: 1 }]) },
  ],
  'a type there is not': [Blk.UNSUPP, { type: 0xffff_ffff, data: sector }],
};

/** The page that every attack aims at. */
function writeTarget(guest: BlkGuest): void {
  expect(guest.write(0, 0, pageOf(5)).status).toBe(Blk.OK);
}

function expectTarget(guest: BlkGuest): void {
  for (const queue of [0, 1]) {
    const done = guest.read(queue, 0, 4096);
    expect(done.status).toBe(Blk.OK);
    expect(done.data.equals(pageOf(5)), "the disk's first page").toBe(true);
  }
}

describe('a hostile driver of a disk', () => {
  test.each(Object.entries(refused))('%s is refused, and nothing is done', (_title, [status, request]) => {
    const guest = scene.attachToDisk();
    writeTarget(guest);
    for (const queue of [0, 1])
      expect(guest.request(queue, request)).toMatchObject({ status, usedLength: 1 });
    expectTarget(guest);
  });

  test.each<[string, (guest: BlkGuest, at: bigint) => Segment[]]>([
    ['no room for a status', (_, at) => [{ address: at, length: 16 + SECTOR_BYTES }]],
    [
      'data outside memory',
      (_, at) => [
        { address: at, length: 16 },
        { address: 0n, length: 512 },
      ],
    ],
    [
      'data that ends behind memory',
      (guest, at) => {
        const last = guest.layout.at(-1);
        const end = (last?.guestPhysical ?? 0n) + (last?.size ?? 0n);
        return [
          { address: at, length: 16 },
          { address: end - 256n, length: 512 },
        ];
      },
    ],
    [
      'a status outside memory',
      (_, at) => [
        { address: at, length: 528 },
        { address: 8n, length: 1, writable: true },
      ],
    ],
  ])('a write with %s is consumed unanswered', (_title, segments) => {
    const guest = scene.attachToDisk();
    writeTarget(guest);
    const at = guest.memory.allocate(3, 4096, 4096);
    const header = Buffer.alloc(16);
    header.writeUInt32LE(Blk.OUT);
    guest.memory.write(at, header);
    const head = guest.ring(0).add(segments(guest, at));
    guest.publish(0);
    expect(guest.ring(0).wait(ANSWER_MS, false)).toBe(true);
    expect(guest.ring(0).take()).toEqual({ head, length: 0 });
    expectTarget(guest);
  });

  test('an available index that jumps breaks that queue alone', async () => {
    const guest = scene.attachToDisk();
    writeTarget(guest);
    const { available } = guest.ring(0).layout();
    guest.memory.write(available + 2n, Buffer.from(Uint16Array.of(0x4000).buffer));
    guest.ring(0).kick();
    await scene.logged('guest broke a queue');
    expect(guest.read(1, 0, 4096).data.equals(pageOf(5))).toBe(true);
  });

  test('a ring full of the largest writes there can be does not keep the service from its end', async () => {
    const guest = scene.attachToDisk({ extraBytes: 8 << 20 });
    writeTarget(guest);
    const at = guest.memory.allocate(3, 8 << 20, 4096);
    const header = Buffer.alloc(16);
    header.writeUInt32LE(Blk.OUT);
    guest.memory.write(at, header);
    const segments = [
      { address: at, length: 16 },
      { address: at, length: (8 << 20) - 4096 },
      { address: at, length: 4096 },
      { address: at + BigInt((8 << 20) - 1), length: 1, writable: true },
    ];
    for (let i = 0; i < 32; i += 1) guest.ring(0).add(segments);
    guest.publish(0);
    guest.close();
    // The end is scene.expectUnharmed and scene.close: the session's, and the service's with status 0.
  });
});
