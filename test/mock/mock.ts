/** The driver-side mock's native half, typed: guest memory, rings, requests, a descriptor-passing socket. */
import { loadAddon } from '../../src/native/load.js';

/** Addresses are guest physical unless they say otherwise; `offset` is in the memfd. */
export interface MemoryLayout {
  guestPhysical: bigint;
  userspace: bigint;
  offset: bigint;
  size: bigint;
}

export interface Memory {
  /** Stays the memory's own. */
  fd(): number;
  userspaceOf(address: bigint): bigint;
  allocate(regionIndex: number, bytes: number, alignment: number): bigint;
  write(address: bigint, bytes: Uint8Array): void;
  read(address: bigint, lengthBytes: number): Buffer;
  /** Touching what was cut off is SIGBUS from then on, here too. */
  truncate(sizeBytes: number): void;
}

export interface Segment {
  address: bigint;
  length: number;
  writable?: boolean;
}

export interface RingAddresses {
  size: number;
  descriptors: bigint;
  available: bigint;
  used: bigint;
  /** Both stay the ring's own. */
  kickFd: number;
  callFd: number;
}

export interface Ring {
  layout(): RingAddresses;
  reset(): void;
  /** The chain's head; undefined when descriptors are short. */
  add(segments: Segment[], indirectTable?: bigint): number | undefined;
  /** Offers a head whose descriptors the caller wrote itself. */
  addHead(head: number): void;
  /** Shows the device what was added; true when it asked to be told. */
  publish(): boolean;
  kick(): void;
  take(): { head: number; length: number } | undefined;
  /** Blocks until take() has something; false when time ran out. */
  wait(timeoutMs: number, byInterrupt: boolean): boolean;
}

/** Fields left out are 0 on the wire. */
export interface Request {
  op: number;
  flags?: number;
  pool?: number;
  oid?: readonly [bigint, bigint, bigint];
  index?: number;
  nrPages?: number;
}

/** How a request is laid into descriptors; cuts are byte offsets where a new one begins. */
export interface Shape {
  readableCuts?: number[];
  writableCuts?: number[];
  readableExtra?: number;
  writableExtra?: number;
  indirect?: boolean;
}

export interface Completion {
  slot: number;
  usedLength: number;
  status: number;
  nrDone: number;
  value: bigint;
}

export interface RequestQueue {
  submit(request: Request, data: Uint8Array | undefined, shape?: Shape): number | undefined;
  /** Throws when the device returned a head that is not in flight. */
  take(): Completion | undefined;
  data(slot: number, lengthBytes: number): Buffer;
}

export interface LoadResult {
  elapsedNs: number;
  /** Requests by status. */
  byStatus: number[];
  mismatches: number;
  /** Per request, at depth 1 only. */
  latencyNs: Uint32Array;
}

export interface Load {
  put(pages: Uint32Array): LoadResult;
  get(pages: Uint32Array, verify: boolean): LoadResult;
  flush(pages: Uint32Array): LoadResult;
}

/** `byStatus` by virtio-blk's statuses; page n of the corpus is page n of the disk. */
export interface BlkLoad {
  write(pages: Uint32Array): LoadResult;
  read(pages: Uint32Array, verify: boolean): LoadResult;
  discard(pages: Uint32Array): LoadResult;
}

/** Nanoseconds for the bare arithmetic on those pages of the corpus. */
export interface Floor {
  put(pages: Uint32Array): number;
  get(pages: Uint32Array): number;
  copy(pages: Uint32Array): number;
  compressedBytes(): number;
}

export interface Received {
  bytes: Buffer;
  fds: number[];
}

export interface Socket {
  /** False when the peer has closed. Descriptors stay the caller's. */
  send(bytes: Uint8Array, fds: number[], timeoutMs: number): boolean;
  receive(maxBytes: number, timeoutMs: number): Received | 'closed' | 'timed-out';
  close(): void;
}

type WireName =
  | `OP_${'RESET' | 'POOL_CREATE' | 'POOL_DESTROY' | 'STAT' | 'ATTACH' | 'PUT' | 'GET' | 'FLUSH' | 'FLUSH_OBJECT'}`
  | `S_${'OK' | 'MISS' | 'REFUSED' | 'BAD_REQUEST' | 'NO_POOL' | 'DENIED' | 'CORRUPT' | 'NO_SESSION' | 'TOO_MANY'}`
  | 'POOL_PERSISTENT'
  | 'POOL_SHARED'
  | 'GET_EXCLUSIVE'
  | 'ALL_POOLS'
  | 'STAT_TARGET'
  | 'STAT_LIMIT';

export interface Mock {
  Memory: new (regions: MemoryLayout[]) => Memory;
  Ring: new (memory: Memory, size: number, regionIndex: number, eventIdx: boolean) => Ring;
  RequestQueue: new (ring: Ring, regionIndex: number, slotCount: number, maxPages: number) => RequestQueue;
  Load: new (ring: Ring, regionIndex: number, depth: number, pool: number, corpusAddress: bigint) => Load;
  BlkLoad: new (ring: Ring, regionIndex: number, depth: number, corpusAddress: bigint) => BlkLoad;
  Floor: new (memory: Memory, corpusAddress: bigint, pageCount: number) => Floor;
  /** Connects to a path, or takes over a connected descriptor. */
  Socket: new (
    pathOrFd: string | number,
  ) => Socket;
  wire: Record<WireName, number>;
  /** Fresh descriptors, the caller's to close. */
  memfd(sizeBytes: number): number;
  /** One that blocks. */
  eventFd(): number;
  socketPair(): [number, number];
  /**
   * A socket with more to send than `listener`'s side takes: whoever closes it last waits for so many seconds, or
   * until `listener` is closed.
   */
  lingeringSocket(seconds: number): { fd: number; listener: number };
  closeFd(fd: number): void;
}

export const mock: Mock = loadAddon('tmemd_mock') as Mock;
export const { wire } = mock;
