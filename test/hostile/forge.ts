/**
 * Descriptors written by hand: chains that no driver would build.
 *
 * A forge works on the upper half of a queue's descriptor table, which the
 * mock's own requests do not reach as long as few are in flight, and has guest
 * memory of its own behind the gap between the regions, holding a well-formed
 * FLUSH (40 bytes) and room for its response.
 */
import type { Guest } from '../mock/guest.js';
import { wire } from '../mock/mock.js';

export const NEXT = 1;
export const WRITE = 2;
export const INDIRECT = 4;
export const DESCRIPTOR_BYTES = 16;
export const REQUEST_BYTES = 40;
export const RESPONSE_BYTES = 16;

const ANSWER_MS = 60_000;
const FORGE_REGION = 3;
const FORGE_BYTES = 64 * 1024;
const UNTOUCHED = 0xee;

export interface Descriptor {
  address: bigint;
  length: number;
  flags?: number;
  next?: number;
}

function encode({ address, length, flags = 0, next = 0 }: Descriptor): Buffer {
  const bytes = Buffer.alloc(DESCRIPTOR_BYTES);
  bytes.writeBigUInt64LE(BigInt.asUintN(64, address), 0);
  bytes.writeUInt32LE(length, 8);
  bytes.writeUInt16LE(flags, 12);
  bytes.writeUInt16LE(next, 14);
  return bytes;
}

export function flushRequest(): Buffer {
  const bytes = Buffer.alloc(REQUEST_BYTES);
  bytes.writeUInt16LE(wire.OP_FLUSH, 0);
  bytes.writeBigUInt64LE(0x666n, 8);
  bytes.writeUInt32LE(1, 36);
  return bytes;
}

/** What became of a chain. */
export type Outcome =
  | { kind: 'consumed' } // used length 0: too broken to answer
  | { kind: 'answered'; status: number }
  | { kind: 'nothing' };

export class Forge {
  readonly guest: Guest;
  readonly queueIndex: number;
  /** The table's first slot that is the forge's, and how many there are in the whole table. */
  readonly slot: number;
  readonly tableSize: number;
  readonly request: bigint;
  readonly response: bigint;
  /** Free memory, for tables and data. */
  readonly room: bigint;

  constructor(guest: Guest, queueIndex = 1) {
    this.guest = guest;
    this.queueIndex = queueIndex;
    this.tableSize = guest.ring(queueIndex).layout().size;
    this.slot = this.tableSize / 2;
    this.request = guest.memory.allocate(FORGE_REGION, FORGE_BYTES, 4096);
    this.response = this.request + 1024n;
    this.room = this.request + 4096n;
    guest.memory.write(this.request, flushRequest());
    guest.memory.write(this.response, Buffer.alloc(RESPONSE_BYTES, UNTOUCHED));
  }

  /** Writes descriptors into the ring's table, one slot after another. */
  table(slot: number, ...descriptors: Descriptor[]): number {
    const { descriptors: base } = this.guest.ring(this.queueIndex).layout();
    this.tableAt(base + BigInt(slot * DESCRIPTOR_BYTES), ...descriptors);
    return slot;
  }

  /** Writes descriptors anywhere in guest memory. */
  tableAt(address: bigint, ...descriptors: Descriptor[]): bigint {
    this.guest.memory.write(address, Buffer.concat(descriptors.map(encode)));
    return address;
  }

  /** A chain of one descriptor that points to an indirect table. */
  indirect(address: bigint, length: number, flags = 0): number {
    return this.table(this.slot, { address, length, flags: INDIRECT | flags });
  }

  /** The readable and the writable half of a well-formed FLUSH. */
  readable(next: number): Descriptor {
    return { address: this.request, length: REQUEST_BYTES, flags: NEXT, next };
  }
  writable(more: Partial<Descriptor> = {}): Descriptor {
    return { address: this.response, length: RESPONSE_BYTES, flags: WRITE, ...more };
  }

  offer(head: number): void {
    const ring = this.guest.ring(this.queueIndex);
    ring.addHead(head);
    ring.publish();
    ring.kick();
  }

  /** Offers a head and waits for it to come back. */
  outcome(head: number, timeoutMs = ANSWER_MS): Outcome {
    this.offer(head);
    const ring = this.guest.ring(this.queueIndex);
    if (!ring.wait(timeoutMs, false)) return { kind: 'nothing' };
    const used = ring.take();
    if (used?.head !== head) throw new Error(`head ${used?.head} came back, ${head} was offered`);
    if (used.length === 0) return { kind: 'consumed' };
    return { kind: 'answered', status: this.guest.memory.read(this.response, 4).readUInt32LE(0) };
  }

  /** Whether the device wrote where the response goes. */
  get responseTouched(): boolean {
    return !this.guest.memory.read(this.response, RESPONSE_BYTES).every((byte) => byte === UNTOUCHED);
  }
}
