/**
 * The disk of the personality blk, as a driver sees it: random requests of any
 * alignment, cut into descriptors anywhere, several in flight on two queues,
 * against a buffer; and what becomes of its content.
 *
 * Requests of one queue take effect in order, so the buffer is changed when a
 * request is submitted. Between queues there is no order: each has sectors of
 * its own, but in the first half of the disk they lie side by side in the same
 * pages, where a write that is torn from another queue's would show.
 */
import { afterEach, describe, expect, test } from 'vitest';
import { Blk, BlkGuest, type BlkRequest, rangeBytes, SECTOR_BYTES } from '../mock/blk-guest.js';
import { mock } from '../mock/mock.js';
import { Service } from '../mock/service.js';
import { Random } from './random.js';

const PAGE_SECTORS = 8;
const PAGE_BYTES = 4096;
const DISK_PAGES = 1024;
const DISK_SECTORS = DISK_PAGES * PAGE_SECTORS;
/** Up to here the queues' sectors alternate two by two; behind it in chunks. */
const INTERLEAVED_SECTORS = DISK_SECTORS / 2;
const CHUNK_SECTORS = 256;
const MOST_SECTORS = 128;
const QUEUES = 2;
const REQUESTS = Number(process.env.TMEMD_BATCHES ?? 1500) * 4;
const disk = { personality: 'blk', size: '4MiB', queues: QUEUES };

let service: Service | undefined;
const guests: BlkGuest[] = [];
afterEach(async () => {
  for (const guest of guests.splice(0)) guest.close();
  await service?.stop();
  service = undefined;
});

async function serve(settings: Record<string, string | number> = {}): Promise<Service> {
  service = await Service.start({ memory: '64MiB', guests: { disk: { ...disk, ...settings } } });
  return service;
}

function connect(running: Service, settings = {}): BlkGuest {
  const guest = new BlkGuest(running.socket('disk'), {
    queues: QUEUES,
    maxBytes: MOST_SECTORS * SECTOR_BYTES,
    ...settings,
  });
  guests.push(guest);
  return guest;
}

async function logged(running: Service, text: string): Promise<void> {
  for (const end = Date.now() + 60_000; Date.now() < end; ) {
    if (running.log.some(({ msg }) => msg === text)) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`never logged: ${text}`);
}

/** Pages of noise, of text, of one byte, and of zeros. */
function content(random: Random, lengthBytes: number): Buffer {
  const kind = random.below(4);
  const bytes = Buffer.alloc(lengthBytes);
  if (kind === 0) for (let at = 0; at + 4 <= lengthBytes; at += 4) bytes.writeUInt32LE(random.next(), at);
  if (kind === 1) bytes.fill(`row ${random.below(1e6)}; `);
  if (kind === 2) bytes.fill(random.below(256));
  return bytes;
}

/** What the disk must hold, and which of its pages the store does. */
class DiskModel {
  readonly bytes = Buffer.alloc(DISK_SECTORS * SECTOR_BYTES);
  readonly pages = new Set<number>();

  write(sector: number, data: Buffer): void {
    data.copy(this.bytes, sector * SECTOR_BYTES);
    const end = sector + data.length / SECTOR_BYTES;
    for (let page = Math.floor(sector / PAGE_SECTORS); page * PAGE_SECTORS < end; page += 1)
      this.pages.add(page);
  }
  zero(sector: number, sectors: number): void {
    this.bytes.fill(0, sector * SECTOR_BYTES, (sector + sectors) * SECTOR_BYTES);
    this.#forget(sector, sectors);
  }
  /** A hint: only whole pages are let go. */
  discard(sector: number, sectors: number): void {
    for (const page of this.#forget(sector, sectors))
      this.bytes.fill(0, page * PAGE_BYTES, (page + 1) * PAGE_BYTES);
  }
  #forget(sector: number, sectors: number): number[] {
    const gone: number[] = [];
    for (
      let page = Math.ceil(sector / PAGE_SECTORS);
      (page + 1) * PAGE_SECTORS <= sector + sectors;
      page += 1
    )
      gone.push(page);
    for (const page of gone) this.pages.delete(page);
    return gone;
  }
  at(sector: number, sectors: number): Buffer {
    return Buffer.from(this.bytes.subarray(sector * SECTOR_BYTES, (sector + sectors) * SECTOR_BYTES));
  }
}

/** A place that is this queue's alone. */
function place(random: Random, queue: number): { sector: number; sectors: number } {
  if (random.chance(0.4)) {
    const pair = random.below(INTERLEAVED_SECTORS / 4) * 4 + queue * 2;
    return random.chance(0.5) ? { sector: pair, sectors: 2 } : { sector: pair + random.below(2), sectors: 1 };
  }
  const chunks = (DISK_SECTORS - INTERLEAVED_SECTORS) / CHUNK_SECTORS / QUEUES;
  const chunk = INTERLEAVED_SECTORS + (random.below(chunks) * QUEUES + queue) * CHUNK_SECTORS;
  if (random.chance(0.5))
    return { sector: chunk + random.below(CHUNK_SECTORS / 8) * 8, sectors: PAGE_SECTORS };
  const from = random.below(CHUNK_SECTORS);
  return { sector: chunk + from, sectors: 1 + random.below(Math.min(MOST_SECTORS, CHUNK_SECTORS - from)) };
}

function cuts(random: Random, lengthBytes: number): number[] {
  return Array.from({ length: random.below(4) }, () => random.below(lengthBytes + 16));
}

describe('a disk of the personality blk', () => {
  test('reads what was written, discarded and zeroed last, whatever the alignment', {
    timeout: 300_000,
  }, async () => {
    const random = Random.announced('disk');
    const running = await serve();
    const guest = connect(running, { eventIdx: random.chance(0.5) });
    const model = new DiskModel();
    const expected: Map<number, Buffer>[] = [new Map(), new Map()];
    let reads = 0;

    const submit = (queue: number) => {
      const { sector, sectors } = place(random, queue);
      const lengthBytes = sectors * SECTOR_BYTES;
      const type = random.weighted([
        [4, Blk.OUT],
        [4, Blk.IN],
        [1, Blk.DISCARD],
        [1, Blk.WRITE_ZEROES],
        [1, Blk.FLUSH],
      ]);
      const shape = {
        readableCuts: cuts(random, lengthBytes),
        writableCuts: cuts(random, lengthBytes),
        indirect: random.chance(0.3),
      };
      const request: BlkRequest = { type, sector: type === Blk.FLUSH ? 0 : sector, shape };
      if (type === Blk.OUT) {
        const data = content(random, lengthBytes);
        model.write(sector, data);
        request.data = data;
      } else if (type === Blk.IN) {
        request.roomBytes = lengthBytes;
      } else if (type !== Blk.FLUSH) {
        if (type === Blk.DISCARD) model.discard(sector, sectors);
        else model.zero(sector, sectors);
        const flags = type === Blk.WRITE_ZEROES && random.chance(0.5) ? Blk.UNMAP : 0;
        request.data = rangeBytes([{ sector, sectors, flags }]);
        request.sector = 0;
      }
      const head = guest.submit(queue, request);
      if (type === Blk.IN) expected[queue]?.set(head, model.at(sector, sectors));
    };

    for (let sent = 0; sent < REQUESTS; ) {
      const counts = Array.from({ length: QUEUES }, () => 1 + random.below(8));
      counts.forEach((count, queue) => {
        for (let i = 0; i < count; i += 1) submit(queue);
      });
      for (let queue = 0; queue < QUEUES; queue += 1) guest.publish(queue);
      counts.forEach((count, queue) => {
        for (let i = 0; i < count; i += 1) {
          const done = guest.next(queue, random.chance(0.2));
          expect(done.status).toBe(Blk.OK);
          const wanted = expected[queue]?.get(done.head);
          expected[queue]?.delete(done.head);
          if (!wanted) continue;
          reads += 1;
          expect(done.usedLength).toBe(wanted.length + 1);
          expect(done.data.equals(wanted), `read ${reads}`).toBe(true);
        }
        sent += count;
      });
    }
    expect(reads).toBeGreaterThan(REQUESTS / 10);
    for (let sector = 0; sector < DISK_SECTORS; sector += MOST_SECTORS) {
      const done = guest.read(sector % QUEUES, sector, MOST_SECTORS * SECTOR_BYTES);
      expect(done.data.equals(model.at(sector, MOST_SECTORS)), `sector ${sector}`).toBe(true);
    }
    expect(await running.admin.check()).toEqual({ ok: true, problem: '' });
    const { counters } = await running.admin.guest('disk');
    expect(counters.persistentPages).toBe(model.pages.size);
    expect(counters.putsGoodTotal).toBe(counters.putsTotal);
  });

  test('takes a full disk of noise: no write within its size is refused', async () => {
    const running = await serve();
    const guest = connect(running);
    const random = Random.announced('full disk');
    const model = new DiskModel();
    for (let round = 0; round < 2; round += 1) {
      for (let sector = 0; sector < DISK_SECTORS; sector += MOST_SECTORS) {
        const data = Buffer.alloc(MOST_SECTORS * SECTOR_BYTES);
        for (let at = 0; at < data.length; at += 4) data.writeUInt32LE(random.next(), at);
        model.write(sector, data);
        expect(guest.write(0, sector, data).status).toBe(Blk.OK);
      }
    }
    for (let sector = 0; sector < DISK_SECTORS; sector += MOST_SECTORS) {
      const done = guest.read(1, sector, MOST_SECTORS * SECTOR_BYTES);
      expect(done.data.equals(model.at(sector, MOST_SECTORS))).toBe(true);
    }
    expect((await running.admin.guest('disk')).counters.rawPages).toBe(DISK_PAGES);
  });

  test('serves a stream of pages with 32 in flight', async () => {
    const guest = connect(await serve(), { extraBytes: DISK_PAGES * PAGE_BYTES });
    const corpus = guest.memory.allocate(3, DISK_PAGES * PAGE_BYTES, PAGE_BYTES);
    const random = Random.announced('stream of pages');
    guest.memory.write(corpus, content(random, DISK_PAGES * PAGE_BYTES));
    const load = new mock.BlkLoad(guest.ring(0), 1, 32, corpus);
    const pages = Uint32Array.from({ length: DISK_PAGES }, (_, page) => page).sort(() => random.below(3) - 1);
    expect(load.write(pages).byStatus).toEqual([DISK_PAGES, 0, 0]);
    expect(load.read(pages, true)).toMatchObject({ byStatus: [DISK_PAGES, 0, 0], mismatches: 0 });
    expect(load.discard(pages).byStatus).toEqual([DISK_PAGES, 0, 0]);
    guest.memory.write(corpus, Buffer.alloc(DISK_PAGES * PAGE_BYTES));
    expect(load.read(pages, true)).toMatchObject({ byStatus: [DISK_PAGES, 0, 0], mismatches: 0 });
  });

  test('says who it is, in 20 bytes', async () => {
    const guest = connect(await serve());
    for (const roomBytes of [20, 8, 64]) {
      const done = guest.request(0, { type: Blk.GET_ID, roomBytes });
      expect(done.status).toBe(Blk.OK);
      expect(done.data).toEqual(Buffer.concat([Buffer.from('disk'), Buffer.alloc(roomBytes)], roomBytes));
    }
  });

  test('is kept across connections', async () => {
    const running = await serve();
    const first = connect(running);
    const data = content(new Random(1), PAGE_BYTES);
    expect(first.write(0, 80, data).status).toBe(Blk.OK);
    first.close();
    await logged(running, 'connection closed by the front end');
    const second = connect(running);
    expect(second.read(1, 80, PAGE_BYTES).data.equals(data)).toBe(true);
    expect(running.log.filter(({ msg }) => msg === 'disk begins, all zeros')).toHaveLength(1);
  });

  test('with an orphan timeout of 0 begins anew with each connection', async () => {
    const running = await serve({ orphan_timeout: '0' });
    const first = connect(running);
    expect(first.write(0, 80, Buffer.alloc(PAGE_BYTES, 7)).status).toBe(Blk.OK);
    first.close();
    await logged(running, 'connection closed by the front end');
    const second = connect(running);
    expect(second.read(1, 80, PAGE_BYTES).data.equals(Buffer.alloc(PAGE_BYTES))).toBe(true);
  });

  test('that this service never had gives errors, not zeros, until the driver starts anew', async () => {
    const running = await serve();
    // A front end that reconnects after the service was replaced goes on where its rings stood.
    const guest = connect(running, { base: 5 });
    for (const request of [
      { type: Blk.IN, roomBytes: SECTOR_BYTES },
      { type: Blk.OUT, data: Buffer.alloc(SECTOR_BYTES) },
      { type: Blk.FLUSH },
      { type: Blk.DISCARD, data: rangeBytes([{ sector: 0, sectors: 8 }]) },
    ]) {
      expect(guest.request(0, request).status, `type ${request.type}`).toBe(Blk.IOERR);
    }
    await logged(running, 'disk lost: its requests fail until the guest starts anew');
    for (let queue = 0; queue < QUEUES; queue += 1) {
      guest.frontEnd.stopRing(queue);
      guest.ring(queue).reset();
      guest.startRing(queue);
    }
    expect(guest.read(0, 0, PAGE_BYTES)).toMatchObject({ status: Blk.OK, data: Buffer.alloc(PAGE_BYTES) });
  });

  test('whose pages the administrator dropped gives errors to the guest that goes on with it', async () => {
    const running = await serve();
    const guest = connect(running);
    expect(guest.write(0, 0, Buffer.alloc(PAGE_BYTES, 7)).status).toBe(Blk.OK);
    await running.admin.drop('disk', true);
    expect(guest.read(0, 0, PAGE_BYTES).status).toBe(Blk.IOERR);
    expect(guest.write(1, 0, Buffer.alloc(PAGE_BYTES)).status).toBe(Blk.IOERR);
  });

  test('cannot be asked for its pages', async () => {
    const running = await serve();
    const refused = await running.ctl('guest', 'drain', 'disk');
    expect(refused).toMatchObject({ status: 2, stdout: '' });
    expect(refused.stderr).toBe('tmemd: guest.disk.target: allowed: only with personality = "tmem"\n');
  });
});
