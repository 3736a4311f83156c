/**
 * A pretended guest with a virtio-blk driver (virtio 1.2, section 5.2): memory
 * in several regions and request queues, attached to any vhost-user-blk back
 * end. Well-behaved in its named methods; what is hostile goes around it,
 * through `memory`, `rings` and `frontEnd`, or through a request's shape.
 *
 * A slot is guest memory for one request in flight:
 *
 *     0               4080            4096          4096 + data
 *     | status of OUT | request header | data ...   | status of IN
 *
 * so that the readable part of OUT and the writable part of IN are each one
 * run of guest memory, which can be cut into descriptors anywhere.
 */
import { FrontEnd, Message, u32 } from './front-end.js';
import { memoryLayout } from './guest.js';
import { type Memory, type MemoryLayout, mock, type Ring, type Segment } from './mock.js';

export const SECTOR_BYTES = 512;
const PAGE_BYTES = 4096;
const HEADER_BYTES = 16;
const ANSWER_MS = 60_000;
/** What writable memory holds before the device writes. */
const UNTOUCHED = 0xa5;
const CONFIG_BYTES = 60;

/** linux/virtio_blk.h. */
export const Blk = {
  IN: 0,
  OUT: 1,
  FLUSH: 4,
  GET_ID: 8,
  DISCARD: 11,
  WRITE_ZEROES: 13,
  UNMAP: 1,
  OK: 0,
  IOERR: 1,
  UNSUPP: 2,
} as const;

export interface BlkRequest {
  type: number;
  sector?: bigint | number;
  /** Readable, after the header. */
  data?: Uint8Array;
  /** Writable, before the status. */
  roomBytes?: number;
  shape?: BlkShape;
}

/** How a request is laid into descriptors; cuts are byte offsets where a new one begins. */
export interface BlkShape {
  readableCuts?: number[];
  writableCuts?: number[];
  /** Bytes beyond (or short of) what the request needs. */
  readableExtra?: number;
  writableExtra?: number;
  indirect?: boolean;
}

export interface BlkDone {
  status: number;
  usedLength: number;
  /** The whole room, as the device left it. */
  data: Buffer;
}

export interface BlkRange {
  sector: bigint | number;
  sectors: number;
  flags?: number;
}

export interface BlkGuestSettings {
  queues?: number;
  ringSize?: number;
  eventIdx?: boolean;
  /** Requests in flight, for each queue. */
  slots?: number;
  /** Most data of a request. */
  maxBytes?: number;
  /** Extra guest memory in a region of its own. */
  extraBytes?: number;
  /** Where rings start: not 0 for a front end that goes on with a disk it has used before. */
  base?: number;
}

interface Slot {
  address: bigint;
  table: bigint;
}

interface InFlight {
  slot: Slot;
  roomBytes: number;
  statusAddress: bigint;
}

export class BlkGuest {
  frontEnd: FrontEnd;
  readonly memory: Memory;
  readonly layout: MemoryLayout[];
  readonly rings: Ring[] = [];
  readonly #free: Slot[][] = [];
  readonly #inFlight: Map<number, InFlight>[] = [];
  readonly #maxBytes: number;
  readonly #eventIdx: boolean;

  /** Connects, negotiates all that is offered, starts every ring. */
  constructor(socketPath: string, settings: BlkGuestSettings = {}) {
    const { queues = 1, ringSize = 128, slots = 16, maxBytes = 16 * PAGE_BYTES, eventIdx = true } = settings;
    this.#maxBytes = maxBytes;
    const slotBytes = Math.ceil((maxBytes + 2 * PAGE_BYTES) / PAGE_BYTES) * PAGE_BYTES;
    const tableBytes = 16 * ringSize;
    this.layout = memoryLayout(queues * slots * (slotBytes + tableBytes), settings.extraBytes ?? 0);
    this.memory = new mock.Memory(this.layout);
    for (let index = 0; index < queues; index += 1) {
      this.rings.push(new mock.Ring(this.memory, ringSize, 0, eventIdx));
      this.#inFlight.push(new Map());
      // Every other queue's requests lie in the other region.
      this.#free.push(
        Array.from({ length: slots }, () => ({
          address: this.memory.allocate(1 + (index % 2), slotBytes, PAGE_BYTES),
          table: this.memory.allocate(1 + (index % 2), tableBytes, 16),
        })),
      );
    }
    this.#eventIdx = eventIdx;
    this.frontEnd = this.#attach(socketPath);
    for (const index of this.rings.keys()) this.startRing(index, settings.base);
  }

  #attach(socketPath: string): FrontEnd {
    const frontEnd = new FrontEnd(socketPath);
    frontEnd.negotiate({ eventIdx: this.#eventIdx });
    frontEnd.setMemoryTable(this.layout, this.memory.fd());
    return frontEnd;
  }

  /**
   * Goes on with another service where the one before left the rings, as QEMU does: what had not been
   * returned is the new one's to do.
   */
  reconnect(socketPath: string): void {
    this.frontEnd.close();
    this.frontEnd = this.#attach(socketPath);
    for (const [index, ring] of this.rings.entries()) {
      const USED_INDEX_OFFSET = 2n;
      this.startRing(index, this.memory.read(ring.layout().used + USED_INDEX_OFFSET, 2).readUInt16LE());
    }
  }

  startRing(index: number, base = 0): void {
    const toUserspace = (address: bigint) => this.memory.userspaceOf(address);
    this.frontEnd.startRing(index, this.ring(index).layout(), toUserspace, base);
  }

  ring(index: number): Ring {
    const ring = this.rings[index];
    if (!ring) throw new RangeError(`no ring ${index}`);
    return ring;
  }

  /** The device's config space. */
  config(): Buffer {
    const header = u32(0, CONFIG_BYTES, 0);
    return this.frontEnd
      .ask(Message.GET_CONFIG, Buffer.concat([header, Buffer.alloc(CONFIG_BYTES)]))
      .subarray(header.length);
  }

  /** Adds a request; its chain's head. Throws when the queue is full. */
  submit(queue: number, { type, sector = 0, data, roomBytes = 0, shape = {} }: BlkRequest): number {
    const slot = this.#free[queue]?.pop();
    if (!slot) throw new Error(`queue ${queue} has no slot left`);
    if ((data?.length ?? 0) > this.#maxBytes || roomBytes > this.#maxBytes)
      throw new RangeError('too much data');
    const dataAddress = slot.address + BigInt(PAGE_BYTES);
    const headerAddress = dataAddress - BigInt(HEADER_BYTES);
    const header = Buffer.alloc(HEADER_BYTES);
    header.writeUInt32LE(type, 0);
    header.writeBigUInt64LE(BigInt(sector), 8);
    this.memory.write(headerAddress, header);
    if (data) this.memory.write(dataAddress, data);
    if (roomBytes > 0) this.memory.write(dataAddress, Buffer.alloc(roomBytes + 1, UNTOUCHED));
    const writable = roomBytes > 0 ? dataAddress : slot.address;
    const statusAddress = writable + BigInt(roomBytes);
    this.memory.write(statusAddress, Buffer.of(UNTOUCHED));

    const readableBytes = HEADER_BYTES + (data?.length ?? 0) + (shape.readableExtra ?? 0);
    const writableBytes = roomBytes + 1 + (shape.writableExtra ?? 0);
    const segments = [
      ...cut(headerAddress, readableBytes, shape.readableCuts ?? [HEADER_BYTES], false),
      ...cut(writable, writableBytes, shape.writableCuts ?? [roomBytes], true),
    ];
    const head = this.ring(queue).add(segments, shape.indirect ? slot.table : undefined);
    if (head === undefined) throw new Error(`queue ${queue} has no descriptors left`);
    this.#inFlight[queue]?.set(head, { slot, roomBytes, statusAddress });
    return head;
  }

  /** Makes what was submitted visible and kicks if the device wants it. */
  publish(queue: number): void {
    if (this.ring(queue).publish()) this.ring(queue).kick();
  }

  /** The next completion. Throws when none comes in time. */
  next(queue: number, byInterrupt = false): BlkDone & { head: number } {
    if (!this.ring(queue).wait(ANSWER_MS, byInterrupt))
      throw new Error(`queue ${queue}: no answer within ${ANSWER_MS} ms`);
    const used = this.ring(queue).take();
    const request = used && this.#inFlight[queue]?.get(used.head);
    if (!used || !request) throw new Error(`head ${used?.head} is not in flight`);
    this.#inFlight[queue]?.delete(used.head);
    this.#free[queue]?.push(request.slot);
    return {
      head: used.head,
      usedLength: used.length,
      status: this.memory.read(request.statusAddress, 1).readUInt8(0),
      data: this.memory.read(request.slot.address + BigInt(PAGE_BYTES), request.roomBytes),
    };
  }

  /** One request, there and back. */
  request(queue: number, request: BlkRequest): BlkDone {
    this.submit(queue, request);
    this.publish(queue);
    return this.next(queue);
  }

  read(queue: number, sector: bigint | number, lengthBytes: number, shape?: BlkShape): BlkDone {
    return this.request(queue, { type: Blk.IN, sector, roomBytes: lengthBytes, ...(shape && { shape }) });
  }

  write(queue: number, sector: bigint | number, data: Uint8Array, shape?: BlkShape): BlkDone {
    return this.request(queue, { type: Blk.OUT, sector, data, ...(shape && { shape }) });
  }

  /** DISCARD or WRITE_ZEROES. */
  forget(queue: number, type: number, ranges: BlkRange[], shape?: BlkShape): BlkDone {
    return this.request(queue, { type, data: rangeBytes(ranges), ...(shape && { shape }) });
  }

  close(): void {
    this.frontEnd.close();
  }
}

export function rangeBytes(ranges: BlkRange[]): Buffer {
  return Buffer.concat(
    ranges.map(({ sector, sectors, flags = 0 }) => {
      const bytes = Buffer.alloc(16);
      bytes.writeBigUInt64LE(BigInt(sector), 0);
      bytes.writeUInt32LE(sectors, 8);
      bytes.writeUInt32LE(flags, 12);
      return bytes;
    }),
  );
}

/** [start, start + length) as descriptors beginning at each cut. */
function cut(start: bigint, lengthBytes: number, cuts: number[], writable: boolean): Segment[] {
  const inside = [...new Set(cuts)].filter((at) => at > 0 && at < lengthBytes).sort((a, b) => a - b);
  const edges = [0, ...inside, lengthBytes];
  return edges.slice(1).flatMap((end, index) => {
    const from = edges[index] ?? 0;
    return end > from ? [{ address: start + BigInt(from), length: end - from, writable }] : [];
  });
}
