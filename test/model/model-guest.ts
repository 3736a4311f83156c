/**
 * A guest that does anything its protocol allows, at random, and knows from
 * its model what each answer may be.
 *
 * Operations go in batches: on every queue a handful of requests in any shape,
 * all in flight at once. A queue answers in order and an object belongs to one
 * queue, so the model is brought forward answer by answer. Control operations
 * come between batches.
 */
import { type Done, Guest, PAGE_BYTES } from '../mock/guest.js';
import { type Request, type Shape, wire } from '../mock/mock.js';
import type { Content, Contents } from './contents.js';
import { PoolModel, Recency } from './pool-model.js';
import type { Random } from './random.js';

export interface ModelGuestSettings {
  name: string;
  socket: string;
  queues: number;
  eventIdx: boolean;
  byInterrupt: boolean;
  /** Pages that cannot be refused. */
  reservePages: number;
  /** Something may say no to a put beyond the reserve: a limit, a cap, a small store. */
  mayRefuse: boolean;
  /** The store may be too small for every ephemeral page. */
  mayEvict: boolean;
  /** Pools outlive the connection. */
  outlives: boolean;
  /** Ephemeral pages that count as recently put. */
  recentPages: number;
}

/** What the run saw, to be compared with what the service counted. */
export interface Tally {
  putsGood: number;
  putsRefused: number;
  getsFound: number;
  missesRecent: number;
  hitsRecent: number;
  missesOld: number;
  hitsOld: number;
}

interface Planned {
  request: Request;
  data?: Buffer;
  check: (done: Done) => void;
}

const MAX_PAGES = 8;
const OBJECTS = 12;
const POOLS_MOST = 6;
/** Where pages lie in an object: from the start, across a 1024 boundary, up to the last index. */
const CLUSTERS = [0, 1000, 0xffffffff - 99];
const CLUSTER_PAGES = 100;

function fail(what: string): never {
  throw new Error(what);
}

export class ModelGuest {
  readonly settings: ModelGuestSettings;
  readonly tally: Tally = {
    putsGood: 0,
    putsRefused: 0,
    getsFound: 0,
    missesRecent: 0,
    hitsRecent: 0,
    missesOld: 0,
    hitsOld: 0,
  };
  frozen = false;
  readonly #random: Random;
  readonly #contents: Contents;
  #guest: Guest;
  #session = 0n;
  #recency: Recency;
  #pools: PoolModel[] = [];
  readonly #usedIds = new Set<number>();
  /** Persistent pages there may be at most once the batch in hand is done. */
  #persistentAtMost = 0;

  constructor(settings: ModelGuestSettings, random: Random, contents: Contents) {
    this.settings = settings;
    this.#random = random;
    this.#contents = contents;
    this.#recency = new Recency(settings.recentPages);
    this.#guest = this.#connect();
    this.#reset();
  }

  get persistentPages(): number {
    return this.#sum((pool) => pool.persistent);
  }
  get ephemeralPagesAtMost(): number {
    return this.#sum((pool) => !pool.persistent);
  }
  get pools(): readonly PoolModel[] {
    return this.#pools;
  }

  #sum(of: (pool: PoolModel) => boolean): number {
    return this.#pools.filter(of).reduce((sum, pool) => sum + pool.pageCount, 0);
  }

  #connect(): Guest {
    const { socket, queues, eventIdx, byInterrupt } = this.settings;
    return new Guest(socket, {
      queues,
      eventIdx,
      byInterrupt,
      maxPages: MAX_PAGES,
      ringSize: 256,
      slots: 32,
    });
  }

  #reset(): void {
    const before = this.#session;
    this.#session = this.#guest.reset();
    if (this.#session === 0n || this.#session === before) fail(`session id ${this.#session} after ${before}`);
    this.#pools = [];
    this.#usedIds.clear();
    this.#recency = new Recency(this.settings.recentPages);
    this.#createPool(true);
    this.#createPool(false);
  }

  #createPool(persistent: boolean): void {
    const id = this.#guest.createPool(persistent);
    if (this.#usedIds.has(id)) fail(`pool id ${id} came back within a session`);
    this.#usedIds.add(id);
    this.#pools.push(new PoolModel(id, persistent, this.#recency));
  }

  // --- batches ---------------------------------------------------------------

  batch(): void {
    const planned = this.#guest.queues.map((_, queue) =>
      queue === 0 ? [] : Array.from({ length: this.#random.below(24) }, () => this.#plan(queue)),
    );
    const puts = planned.flat().filter(({ request }) => request.op === wire.OP_PUT);
    this.#persistentAtMost =
      this.persistentPages + puts.reduce((sum, { request }) => sum + (request.nrPages ?? 0), 0);
    const inFlight = planned.map((plans, queue) => this.#submit(queue, plans));
    for (const queue of inFlight.keys()) this.#guest.publish(queue);
    for (const [queue, plans] of inFlight.entries())
      for (const { check } of plans) check(this.#guest.next(queue));
  }

  /** As many as the queue takes. */
  #submit(queueIndex: number, plans: Planned[]): Planned[] {
    const submitted: Planned[] = [];
    for (const plan of plans) {
      const slot = this.#guest.queue(queueIndex).submit(plan.request, plan.data, this.#shape(plan));
      if (slot === undefined) break;
      submitted.push(plan);
    }
    return submitted;
  }

  #shape({ data }: Planned): Shape | undefined {
    if (this.#random.chance(0.4)) return undefined;
    const cuts = (most: number) =>
      Array.from({ length: this.#random.below(5) }, () => this.#random.below(most));
    const lengthBytes = 56 + Math.max(data?.length ?? 0, PAGE_BYTES);
    return {
      readableCuts: cuts(lengthBytes),
      writableCuts: cuts(lengthBytes),
      indirect: this.#random.chance(0.5),
    };
  }

  #plan(queue: number): Planned {
    const pool = this.#random.pick(this.#pools);
    const object = this.#objectOf(queue);
    const index = this.#random.pick(CLUSTERS) + this.#random.below(CLUSTER_PAGES);
    const nrPages = Math.min(
      this.#random.chance(0.5) ? 1 : 1 + this.#random.below(MAX_PAGES),
      2 ** 32 - index,
    );
    const plan = this.#random.weighted<() => Planned>([
      [550, () => this.#planPut(pool, object, index, nrPages)],
      [380, () => this.#planGet(pool, object, index, nrPages)],
      [60, () => this.#planFlush(pool, object, index, nrPages)],
      [2, () => this.#planFlush(pool, object, index, 2 ** 32 - index)],
      [2, () => this.#planFlushObject(pool, object)],
    ]);
    return plan();
  }

  /** Objects are dealt to queues like cards. */
  #objectOf(queue: number): number {
    const { queues } = this.settings;
    const own = Math.ceil((OBJECTS - (queue - 1)) / queues);
    return queue - 1 + queues * this.#random.below(own);
  }

  #request(op: number, pool: PoolModel, object: number, index = 0, nrPages = 0): Request {
    // Objects 0 to 3 differ in the low word, the others in the high ones alone.
    const oid =
      object < 4 ? ([BigInt(object), 0n, 0n] as const) : ([0n, BigInt(object), 2n ** 64n - 1n] as const);
    return { op, pool: pool.id, oid, index, nrPages: nrPages >>> 0 };
  }

  #planPut(pool: PoolModel, object: number, index: number, nrPages: number): Planned {
    const pages = Array.from({ length: nrPages }, () => this.#contents.pick(this.#random));
    return {
      request: this.#request(wire.OP_PUT, pool, object, index, nrPages),
      data: Buffer.concat(pages.map(({ bytes }) => bytes)),
      check: (done) => this.#afterPut(pool, object, index, pages, done),
    };
  }

  #afterPut(pool: PoolModel, object: number, index: number, pages: Content[], done: Done): void {
    const where = `put of ${pages.length} pages at ${pool.id}/${object}/${index}`;
    const whole = done.nrDone === pages.length;
    if (done.usedLength !== 16 || done.status !== (whole ? wire.S_OK : wire.S_REFUSED))
      fail(`${where}: ${describe(done)}`);
    if (!whole) {
      this.tally.putsRefused += 1;
      if (!this.settings.mayRefuse && !this.frozen) fail(`${where} was refused, with room for all`);
      if (pool.persistent && this.#persistentAtMost <= this.settings.reservePages)
        fail(`${where} was refused inside the reserve`);
    }
    for (const [offset, { hash }] of pages.entries()) {
      if (offset < done.nrDone) {
        pool.put(object, index + offset, hash);
        this.tally.putsGood += 1;
      } else {
        pool.drop(object, index + offset);
      }
    }
  }

  #planGet(pool: PoolModel, object: number, index: number, nrPages: number): Planned {
    const exclusive = !pool.persistent && this.#random.chance(0.3);
    const flags = exclusive ? wire.GET_EXCLUSIVE : 0;
    return {
      request: { ...this.#request(wire.OP_GET, pool, object, index, nrPages), flags },
      check: (done) => this.#afterGet(pool, object, index, nrPages, exclusive, done),
    };
  }

  #afterGet(
    pool: PoolModel,
    object: number,
    index: number,
    nrPages: number,
    exclusive: boolean,
    done: Done,
  ): void {
    const where = `get of ${nrPages} pages at ${pool.id}/${object}/${index}`;
    const whole = done.nrDone === nrPages;
    if (
      done.status !== (whole ? wire.S_OK : wire.S_MISS) ||
      done.usedLength !== 16 + done.nrDone * PAGE_BYTES
    )
      fail(`${where}: ${describe(done)}`);
    for (let offset = 0; offset < done.nrDone; offset += 1) {
      const at = index + offset;
      const expected = pool.get(object, at);
      const got = this.#contents.hash(done.data.subarray(offset * PAGE_BYTES, (offset + 1) * PAGE_BYTES));
      if (expected === undefined) fail(`${where}: page ${at} is there and must not be`);
      if (got !== expected) fail(`${where}: page ${at} is not what was put`);
      this.tally.getsFound += 1;
      if (!pool.persistent) this.tally[pool.isRecent(object, at) ? 'hitsRecent' : 'hitsOld'] += 1;
      if (exclusive) pool.drop(object, at);
    }
    if (!whole) this.#afterMiss(pool, object, index + done.nrDone, where);
  }

  #afterMiss(pool: PoolModel, object: number, index: number, where: string): void {
    if (pool.get(object, index) === undefined) return;
    if (pool.persistent) fail(`${where}: persistent page ${index} was lost`);
    if (!this.settings.mayEvict) fail(`${where}: ephemeral page ${index} was dropped, with room for all`);
    this.tally[pool.isRecent(object, index) ? 'missesRecent' : 'missesOld'] += 1;
    pool.drop(object, index);
  }

  #planFlush(pool: PoolModel, object: number, index: number, pageCount: number): Planned {
    // A count of 2^32 does not fit its field; from index 0 one page stays out.
    const nrPages = Math.min(pageCount, 2 ** 32 - 1);
    return {
      request: this.#request(wire.OP_FLUSH, pool, object, index, nrPages),
      check: (done) => {
        if (done.status !== wire.S_OK || done.nrDone !== nrPages || done.usedLength !== 16)
          fail(`flush of ${nrPages} pages at ${pool.id}/${object}/${index}: ${describe(done)}`);
        pool.dropRange(object, index, nrPages);
      },
    };
  }

  #planFlushObject(pool: PoolModel, object: number): Planned {
    return {
      request: this.#request(wire.OP_FLUSH_OBJECT, pool, object),
      check: (done) => {
        if (done.status !== wire.S_OK || done.usedLength !== 16)
          fail(`flush of object ${pool.id}/${object}: ${describe(done)}`);
        pool.dropObject(object);
      },
    };
  }

  // --- control ---------------------------------------------------------------

  /** One control operation, with nothing in flight. */
  control(): void {
    const operation = this.#random.weighted<() => void>([
      [40, () => this.checkHeld()],
      [4, () => this.#changePools()],
      [4, () => this.#attach(this.#session, true)],
      [2, () => this.#attach(this.#session ^ 1n, false)],
      [6, () => this.#restartRings()],
      [this.settings.outlives ? 4 : 1, () => this.#reconnect()],
      [1, () => this.#reset()],
    ]);
    operation();
  }

  #changePools(): void {
    if (this.#pools.length < POOLS_MOST && this.#random.chance(0.5)) {
      this.#createPool(this.#random.chance(0.5));
      return;
    }
    if (this.#pools.length < 3) return;
    const doomed = this.#random.pick(this.#pools);
    const done = this.#guest.request(0, { op: wire.OP_POOL_DESTROY, pool: doomed.id });
    if (done.status !== wire.S_OK) fail(`destroying pool ${doomed.id}: ${describe(done)}`);
    for (const { object, index } of [...doomed.pages()]) doomed.drop(object, index);
    this.#pools = this.#pools.filter((pool) => pool !== doomed);
  }

  #attach(session: bigint, expected: boolean): void {
    const done = this.#guest.request(0, { op: wire.OP_ATTACH, oid: [session, 0n, 0n] });
    if (done.status !== (expected ? wire.S_OK : wire.S_NO_SESSION))
      fail(`attaching to ${expected ? 'the' : 'no'} session: ${describe(done)}`);
  }

  /** As QEMU does over `stop` and `cont`. */
  #restartRings(): void {
    const bases = this.#guest.rings.map((_, index) => this.#guest.frontEnd.stopRing(index));
    for (const [index, base] of bases.entries()) this.#guest.startRing(index, base);
  }

  /** The front end goes and comes back. */
  #reconnect(): void {
    this.#guest.close();
    this.#guest = this.#connect();
    this.#attach(this.#session, this.settings.outlives);
    if (!this.settings.outlives) this.#reset();
  }

  /** STAT of every pool. */
  checkHeld(): void {
    let sum = 0n;
    for (const pool of this.#pools) {
      const { value } = this.#guest.request(0, { op: wire.OP_STAT, pool: pool.id });
      const most = BigInt(pool.pageCount);
      const exact = pool.persistent || !this.settings.mayEvict;
      if (exact ? value !== most : value > most)
        fail(`pool ${pool.id} holds ${value} pages, the model ${most}`);
      sum += value;
    }
    const all = this.#guest.request(0, { op: wire.OP_STAT, pool: wire.ALL_POOLS }).value;
    if (all !== sum) fail(`all pools hold ${all} pages, one by one ${sum}`);
  }

  /** Gets and compares every page there is. */
  checkEveryPage(): void {
    for (const pool of this.#pools) {
      for (const { object, index } of [...pool.pages()]) {
        const { request, check } = this.#planGetOne(pool, object, index);
        check(this.#guest.request(1 + (object % this.settings.queues), request));
      }
    }
  }

  #planGetOne(pool: PoolModel, object: number, index: number): Planned {
    return {
      request: this.#request(wire.OP_GET, pool, object, index, 1),
      check: (done) => this.#afterGet(pool, object, index, 1, false, done),
    };
  }

  /** Flushes every object of every pool. */
  flushAll(): void {
    for (const pool of this.#pools) {
      for (let object = 0; object < OBJECTS; object += 1) {
        const { request, check } = this.#planFlushObject(pool, object);
        check(this.#guest.request(1 + (object % this.settings.queues), request));
      }
    }
  }

  close(): void {
    this.#guest.close();
  }
}

function describe({ status, nrDone, usedLength }: Done): string {
  return `status ${status}, ${nrDone} done, used length ${usedLength}`;
}
