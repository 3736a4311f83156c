/**
 * The front end's side of the protocol, written from its specification and not
 * from our codecs, and a connection in memory to speak it over.
 */
import type { DescriptorKind, FdConnection, ReceivedBytes } from '../../../src/native/addon.js';

/** What is open, who owns it: every descriptor must end up closed or given away exactly once. */
export class FdLedger {
  #next = 100;
  readonly released = new Map<number, number>();
  readonly #kinds = new Map<number, DescriptorKind>();

  /** A descriptor on its way to the service. */
  open(kind: DescriptorKind = 'eventfd'): number {
    const fd = this.#next;
    this.#next += 1;
    this.released.set(fd, 0);
    this.#kinds.set(fd, kind);
    return fd;
  }

  readonly kindOf = (fd: number): DescriptorKind => this.#kinds.get(fd) ?? 'other';

  readonly closeAll = async (fds: number[]): Promise<void> => {
    for (const fd of fds) this.release(fd);
  };

  readonly release = (fd: number): void => {
    this.released.set(fd, (this.released.get(fd) ?? 0) + 1);
  };

  /** Descriptors not released exactly once. */
  unbalanced(): [fd: number, times: number][] {
    return [...this.released].filter(([, times]) => times !== 1);
  }
}

export function codedError(code: string): Error {
  return Object.assign(new Error(code), { code });
}

export class FakeConnection implements FdConnection {
  readonly peer = { pid: 4242, uid: 0, gid: 0 };
  readonly written: Buffer[] = [];
  closed = false;
  /** What its closing waits for. */
  closing: Promise<void> = Promise.resolve();
  /** Called by a test: the process at the other end is gone. */
  processEnds = () => {};
  #incoming: { bytes: Buffer; fds: number[] }[] = [];
  #ended = false;
  #pending:
    | { lengthBytes: number; resolve: (r: ReceivedBytes) => void; reject: (e: Error) => void }
    | undefined;
  #onWrite: (() => void)[] = [];
  #onIdle: (() => void)[] = [];
  readonly #discardFd: (fd: number) => void;

  /** `discardFd` takes the descriptors that no read ever delivered. */
  constructor(discardFd: (fd: number) => void = () => {}) {
    this.#discardFd = discardFd;
  }

  send(bytes: Buffer, fds: number[] = []): void {
    this.#incoming.push({ bytes, fds });
    this.#pump();
  }

  /** The front end closes its end. */
  end(): void {
    this.#ended = true;
    this.#pump();
  }

  read(lengthBytes: number): Promise<ReceivedBytes> {
    return new Promise((resolve, reject) => {
      this.#pending = { lengthBytes, resolve, reject };
      this.#pump();
    });
  }

  #pump(): void {
    const pending = this.#pending;
    if (!pending) return;
    const availableBytes = this.#incoming.reduce((sum, { bytes }) => sum + bytes.length, 0);
    if (this.closed) {
      this.#pending = undefined;
      pending.reject(codedError('TMEMD_CLOSED'));
    } else if (availableBytes >= pending.lengthBytes) {
      this.#pending = undefined;
      pending.resolve({ ...this.#take(pending.lengthBytes), fdsTruncated: false });
    } else if (this.#ended) {
      this.#pending = undefined;
      this.#discard();
      pending.reject(codedError(availableBytes === 0 ? 'TMEMD_CLOSED' : 'TMEMD_TRUNCATED'));
    } else if (availableBytes === 0) {
      for (const notify of this.#onIdle.splice(0)) notify();
    }
  }

  /** Resolves once everything sent was read and the service waits for more. */
  idle(): Promise<void> {
    return new Promise((resolve) => {
      this.#onIdle.push(resolve);
      this.#pump();
    });
  }

  #discard(): void {
    for (const { fds } of this.#incoming.splice(0)) for (const fd of fds) this.#discardFd(fd);
  }

  #take(lengthBytes: number): { bytes: Buffer; fds: number[] } {
    const bytes: Buffer[] = [];
    const fds: number[] = [];
    let missing = lengthBytes;
    while (missing > 0) {
      const first = this.#incoming[0];
      if (!first) break;
      fds.push(...first.fds.splice(0));
      const part = first.bytes.subarray(0, missing);
      bytes.push(part);
      missing -= part.length;
      first.bytes = first.bytes.subarray(part.length);
      if (first.bytes.length === 0) this.#incoming.shift();
    }
    return { bytes: Buffer.concat(bytes), fds };
  }

  async write(bytes: Buffer): Promise<void> {
    this.written.push(bytes);
    for (const notify of this.#onWrite.splice(0)) notify();
  }

  /** The `index`th message written by the service, once it is. */
  async reply(index: number): Promise<Buffer> {
    for (;;) {
      const message = this.written[index];
      if (message) return message;
      await new Promise<void>((resolve) => this.#onWrite.push(resolve));
    }
  }

  watchPeer(onGone: () => void): boolean {
    this.processEnds = onGone;
    return true;
  }

  async close(): Promise<void> {
    this.closed = true;
    this.processEnds = () => {};
    this.#discard();
    this.#pump();
    await this.closing;
  }
}

export const NEED_REPLY = 0x8;

/** A message as it goes over the socket. */
export function message(number: number, payload: Buffer = Buffer.alloc(0), flags = 0): Buffer {
  return Buffer.concat([u32(number), u32(0x1 | flags), u32(payload.length), payload]);
}

export function u32(...values: number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  for (const [index, value] of values.entries()) bytes.writeUInt32LE(value, 4 * index);
  return bytes;
}

export function u64(...values: (bigint | number)[]): Buffer {
  const bytes = Buffer.alloc(8 * values.length);
  for (const [index, value] of values.entries()) bytes.writeBigUInt64LE(BigInt(value), 8 * index);
  return bytes;
}

export interface Region {
  guestPhysicalAddress: bigint;
  sizeBytes: bigint;
  userspaceAddress: bigint;
  mmapOffsetBytes: bigint;
}

export function region(r: Region): Buffer {
  return u64(r.guestPhysicalAddress, r.sizeBytes, r.userspaceAddress, r.mmapOffsetBytes);
}
