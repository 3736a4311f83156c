/**
 * A pretended guest: memory in several regions, a control queue and request
 * queues, attached to a running service. The well-behaved driver every test
 * starts from; what is hostile goes around it, through `memory`, `rings` and
 * `frontEnd`.
 */
import { FrontEnd } from './front-end.js';
import {
  type Completion,
  type Memory,
  type MemoryLayout,
  mock,
  type Request,
  type RequestQueue,
  type Ring,
  type Shape,
  wire,
} from './mock.js';

export const PAGE_BYTES = 4096;
const MIB = 1 << 20;
const ANSWER_MS = 60_000;

export interface GuestSettings {
  /** Request queues to start, the control queue not counted. */
  queues?: number;
  ringSize?: number;
  eventIdx?: boolean;
  /** Wait for completions by interrupt instead of polling. */
  byInterrupt?: boolean;
  slots?: number;
  maxPages?: number;
  /** Extra guest memory in a region of its own, for a corpus or for what a test likes. */
  extraBytes?: number;
}

export interface Done extends Completion {
  /** The pages a GET brought. */
  data: Buffer;
}

export interface Key {
  pool: number;
  oid: readonly [bigint, bigint, bigint];
  index: number;
}

/** Region 0 holds rings, 1 and 2 (touching) requests, 3 (after a gap) what a test wants. */
export function memoryLayout(requestBytes: number, extraBytes: number): MemoryLayout[] {
  const rings = BigInt(4 * MIB);
  const half = BigInt(Math.ceil(requestBytes / 2 / MIB + 1) * MIB);
  const extra = BigInt(Math.max(MIB, Math.ceil(extraBytes / MIB) * MIB + MIB));
  return [
    { guestPhysical: 0x10_0000n, userspace: 0x7f00_0000_0000n, offset: 0n, size: rings },
    { guestPhysical: 0x4000_0000n, userspace: 0x7e00_0000_0000n, offset: rings, size: half },
    { guestPhysical: 0x4000_0000n + half, userspace: 0x7d00_0000_0000n, offset: rings + half, size: half },
    { guestPhysical: 0x1_0000_0000n, userspace: 0x7c00_0000_0000n, offset: rings + 2n * half, size: extra },
  ];
}

export class Guest {
  readonly frontEnd: FrontEnd;
  readonly memory: Memory;
  readonly layout: MemoryLayout[];
  /** 0 is the control queue. */
  readonly rings: Ring[] = [];
  readonly queues: RequestQueue[] = [];
  readonly #byInterrupt: boolean;

  /** Connects, negotiates, starts every ring. No RESET is sent. */
  constructor(socketPath: string, settings: GuestSettings = {}) {
    const { queues = 1, ringSize = 256, slots = 64, maxPages = 1, eventIdx = true } = settings;
    this.#byInterrupt = settings.byInterrupt ?? false;
    const slotBytes = (maxPages + 2) * PAGE_BYTES + 16 * 600;
    this.layout = memoryLayout((queues + 1) * slots * slotBytes, settings.extraBytes ?? 0);
    this.memory = new mock.Memory(this.layout);
    for (let index = 0; index <= queues; index += 1) {
      const ring = new mock.Ring(this.memory, ringSize, 0, eventIdx);
      this.rings.push(ring);
      // Every other queue's requests lie in the other region.
      const [slotCount, pages] = index === 0 ? [8, 1] : [slots, maxPages];
      this.queues.push(new mock.RequestQueue(ring, 1 + (index % 2), slotCount, pages));
    }
    this.frontEnd = new FrontEnd(socketPath);
    this.frontEnd.negotiate({ eventIdx });
    this.frontEnd.setMemoryTable(this.layout, this.memory.fd());
    for (const index of this.rings.keys()) this.startRing(index);
  }

  startRing(index: number, base = 0): void {
    this.frontEnd.startRing(
      index,
      this.ring(index).layout(),
      (address) => this.memory.userspaceOf(address),
      base,
    );
  }

  ring(index: number): Ring {
    const ring = this.rings[index];
    if (!ring) throw new RangeError(`no ring ${index}`);
    return ring;
  }

  queue(index: number): RequestQueue {
    const queue = this.queues[index];
    if (!queue) throw new RangeError(`no queue ${index}`);
    return queue;
  }

  /** Adds a request; its slot. Throws when the queue is full. */
  submit(queueIndex: number, request: Request, data?: Uint8Array, shape?: Shape): number {
    const slot = this.queue(queueIndex).submit(request, data, shape);
    if (slot === undefined) throw new Error(`queue ${queueIndex} is full`);
    return slot;
  }

  /** Makes what was submitted visible and kicks if the device wants it. */
  publish(queueIndex: number): void {
    const ring = this.ring(queueIndex);
    if (ring.publish()) ring.kick();
  }

  /** The next completion. Throws when none comes in time. */
  next(queueIndex: number): Done {
    const queue = this.queue(queueIndex);
    if (!this.ring(queueIndex).wait(ANSWER_MS, this.#byInterrupt))
      throw new Error(`queue ${queueIndex}: no answer within ${ANSWER_MS} ms`);
    const completion = queue.take();
    if (!completion) throw new Error('the used index moved and there is nothing');
    const data = queue.data(completion.slot, Math.max(0, completion.usedLength - 16));
    return { ...completion, data };
  }

  /** One request, there and back. */
  request(queueIndex: number, request: Request, data?: Uint8Array, shape?: Shape): Done {
    this.submit(queueIndex, request, data, shape);
    this.publish(queueIndex);
    return this.next(queueIndex);
  }

  reset(): bigint {
    return expectOk(this.request(0, { op: wire.OP_RESET })).value;
  }

  createPool(persistent: boolean): number {
    const flags = persistent ? wire.POOL_PERSISTENT : 0;
    return Number(expectOk(this.request(0, { op: wire.OP_POOL_CREATE, flags, index: 12 })).value);
  }

  put(queueIndex: number, key: Key, data: Uint8Array, shape?: Shape): Done {
    return this.request(
      queueIndex,
      { op: wire.OP_PUT, ...key, nrPages: data.length / PAGE_BYTES },
      data,
      shape,
    );
  }

  get(queueIndex: number, key: Key, nrPages = 1, shape?: Shape): Done {
    return this.request(queueIndex, { op: wire.OP_GET, ...key, nrPages }, undefined, shape);
  }

  flush(queueIndex: number, key: Key, nrPages = 1): Done {
    return this.request(queueIndex, { op: wire.OP_FLUSH, ...key, nrPages });
  }

  close(): void {
    this.frontEnd.close();
  }
}

export function expectOk(done: Done): Done {
  if (done.status !== wire.S_OK) throw new Error(`status ${done.status} where OK was expected`);
  return done;
}
