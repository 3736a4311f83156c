/**
 * A vhost-user front end over the real socket: well-behaved in its named
 * methods, and able to say anything through `raw`.
 *
 * Blocking, with a time limit: the service is another process.
 */
import { type MemoryLayout, mock, type Received, type RingAddresses, type Socket } from './mock.js';

/** QEMU's docs/interop/vhost-user, "Front-end message types". */
export const Message = {
  GET_FEATURES: 1,
  SET_FEATURES: 2,
  SET_OWNER: 3,
  RESET_OWNER: 4,
  SET_MEM_TABLE: 5,
  SET_LOG_BASE: 6,
  SET_VRING_NUM: 8,
  SET_VRING_ADDR: 9,
  SET_VRING_BASE: 10,
  GET_VRING_BASE: 11,
  SET_VRING_KICK: 12,
  SET_VRING_CALL: 13,
  SET_VRING_ERR: 14,
  GET_PROTOCOL_FEATURES: 15,
  SET_PROTOCOL_FEATURES: 16,
  GET_QUEUE_NUM: 17,
  SET_VRING_ENABLE: 18,
  SET_BACKEND_REQ_FD: 21,
  GET_CONFIG: 24,
  SET_CONFIG: 25,
  GET_INFLIGHT_FD: 31,
  RESET_DEVICE: 34,
  GET_MAX_MEM_SLOTS: 36,
  ADD_MEM_REG: 37,
  REM_MEM_REG: 38,
  SET_STATUS: 39,
  GET_STATUS: 40,
} as const;

export const VERSION = 1;
export const NEED_REPLY = 8;
const HEADER_BYTES = 12;
const EVENT_IDX = 1n << 29n;
const ANSWER_MS = 60_000;

export function u32(...values: number[]): Buffer {
  return Buffer.from(Uint32Array.from(values).buffer);
}

export function u64(...values: (bigint | number)[]): Buffer {
  return Buffer.from(BigUint64Array.from(values, BigInt).buffer);
}

export function message(type: number, payload: Buffer = Buffer.alloc(0), flags = VERSION): Buffer {
  return Buffer.concat([u32(type, flags, payload.length), payload]);
}

export function regionBytes(region: MemoryLayout): Buffer {
  return u64(region.guestPhysical, region.size, region.userspace, region.offset);
}

/** The service closed the connection where an answer was due. */
export class ClosedError extends Error {}

export class FrontEnd {
  readonly #socket: Socket;

  /** A path to connect to, or a connected descriptor, which becomes its own. */
  constructor(socket: string | number) {
    this.#socket = new mock.Socket(socket);
  }

  /** False when the service has closed. Throws when it takes no more in time. Descriptors stay the caller's. */
  raw(bytes: Buffer, fds: number[] = [], timeoutMs = ANSWER_MS): boolean {
    return this.#socket.send(bytes, fds, timeoutMs);
  }

  /** Sends a message and waits for its acknowledgement (REPLY_ACK). Throws when the service refused. */
  set(type: number, payload: Buffer = Buffer.alloc(0), fds: number[] = []): void {
    const answer = this.#exchange(type, payload, fds, VERSION | NEED_REPLY);
    if (answer.readBigUInt64LE(0) !== 0n) throw new Error(`message ${type} was refused`);
  }

  /** Sends a message that has a reply of its own. */
  ask(type: number, payload: Buffer = Buffer.alloc(0)): Buffer {
    return this.#exchange(type, payload, [], VERSION);
  }

  #exchange(type: number, payload: Buffer, fds: number[], flags: number): Buffer {
    if (!this.raw(message(type, payload, flags), fds)) throw new ClosedError(`closed at message ${type}`);
    const header = this.#exactly(HEADER_BYTES, type);
    if (header.readUInt32LE(0) !== type)
      throw new Error(`answer ${header.readUInt32LE(0)} to message ${type}`);
    return this.#exactly(header.readUInt32LE(8), type);
  }

  #exactly(lengthBytes: number, type: number): Buffer {
    const parts: Buffer[] = [];
    for (let missing = lengthBytes; missing > 0; ) {
      const got: Received | 'closed' | 'timed-out' = this.#socket.receive(missing, ANSWER_MS);
      if (got === 'closed') throw new ClosedError(`closed at message ${type}`);
      if (got === 'timed-out') throw new Error(`no answer to message ${type} within ${ANSWER_MS} ms`);
      parts.push(got.bytes);
      missing -= got.bytes.length;
    }
    return Buffer.concat(parts);
  }

  /** Everything until the service closes; undefined when it does not within the time. */
  untilClosed(timeoutMs = ANSWER_MS): Buffer | undefined {
    const parts: Buffer[] = [];
    for (;;) {
      const got = this.#socket.receive(4096, timeoutMs);
      if (got === 'timed-out') return undefined;
      if (got === 'closed') return Buffer.concat(parts);
      for (const fd of got.fds) mock.closeFd(fd);
      parts.push(got.bytes);
    }
  }

  /** What QEMU does when the device is realised. Acknowledges all that is offered, EVENT_IDX as asked. */
  negotiate(options: { eventIdx: boolean }): void {
    const features = this.ask(Message.GET_FEATURES).readBigUInt64LE(0);
    const protocol = this.ask(Message.GET_PROTOCOL_FEATURES).readBigUInt64LE(0);
    this.raw(message(Message.SET_PROTOCOL_FEATURES, u64(protocol)));
    this.raw(message(Message.SET_OWNER));
    this.set(Message.SET_FEATURES, u64(options.eventIdx ? features : features & ~EVENT_IDX));
  }

  setMemoryTable(regions: MemoryLayout[], fd: number): void {
    const payload = Buffer.concat([u32(regions.length, 0), ...regions.map(regionBytes)]);
    this.set(
      Message.SET_MEM_TABLE,
      payload,
      regions.map(() => fd),
    );
  }

  /** In QEMU's order: NUM, BASE, ADDR, KICK, CALL, ENABLE. `toUserspace` translates ring addresses. */
  startRing(index: number, ring: RingAddresses, toUserspace: (address: bigint) => bigint, base = 0): void {
    this.set(Message.SET_VRING_NUM, u32(index, ring.size));
    this.set(Message.SET_VRING_BASE, u32(index, base));
    const addresses = u64(
      toUserspace(ring.descriptors),
      toUserspace(ring.used),
      toUserspace(ring.available),
      0,
    );
    this.set(Message.SET_VRING_ADDR, Buffer.concat([u32(index, 0), addresses]));
    this.set(Message.SET_VRING_KICK, u64(index), [ring.kickFd]);
    this.set(Message.SET_VRING_CALL, u64(index), [ring.callFd]);
    this.set(Message.SET_VRING_ENABLE, u32(index, 1));
  }

  /** ENABLE(0) and GET_VRING_BASE, as QEMU stops a ring; its next available index. */
  stopRing(index: number): number {
    this.set(Message.SET_VRING_ENABLE, u32(index, 0));
    return this.ask(Message.GET_VRING_BASE, u32(index, 0)).readUInt32LE(4);
  }

  close(): void {
    this.#socket.close();
  }
}
