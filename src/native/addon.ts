/**
 * The native addon's surface, typed: the only module that loads it.
 *
 * Everything behind it is C++ (`addon/`). A file descriptor in these types is
 * a plain number that its receiver owns from then on; `owned-fd.ts` is what
 * the control plane holds them in.
 */
import type { GuestCounters, PoolCounters, StoreCounters } from './counters.js';
import { loadAddon } from './load.js';

export interface StoreOptions {
  capacityBytes: number;
  backgroundSettling?: boolean;
  /** The file the arena lies in, open for reading and writing; stays the caller's. Absent: memory of the store's own. */
  arenaFd?: number;
  /** Takes over the arena in the file, of whatever capacity that is; else the file must be empty. */
  recover?: boolean;
}

/** A guest of a recovered arena that addGuest() was not called for yet. */
export interface UnclaimedGuest {
  guest: number;
  name: string;
  pages: number;
}

export interface GuestOptions {
  name: string;
  /** Pages are shared only inside a group; absent: with nobody. */
  dedupGroup?: string;
  weight?: number;
  /** Most pages held, both kinds; 0: none set. */
  capPages?: number;
  persistentReservePages?: number;
  /** 0: none set. */
  persistentLimitPages?: number;
  frozen?: boolean;
  maxPools?: number;
  /** -1: anywhere. */
  numaNode?: number;
}

export interface GuestTuning {
  weight?: number;
  capPages?: number;
  persistentLimitPages?: number;
  frozen?: boolean;
}

/**
 * Methods that take a configuration throw an Error whose `code` is `TMEMD_CONFIG`; so does the constructor,
 * which throws `TMEMD_ARENA` for an arena that cannot be had. Arguments of the
 * wrong kind are TypeErrors that name them. Once closed, every method but close throws `TMEMD_CLOSED`.
 */
export interface NativeStore {
  /** After a recovery: takes over the guest of that name, if it was there. */
  addGuest(options: GuestOptions): number;
  unclaimedGuests(): UnclaimedGuest[];
  removeGuest(guest: number): Promise<void>;
  updateGuest(guest: number, tuning: GuestTuning): void;
  dropPools(guest: number): Promise<void>;
  counters(): StoreCounters;
  guestCounters(guest: number): GuestCounters;
  poolCounters(guest: number): PoolCounters[];
  /** Empty when everything adds up; else what does not. */
  checkInvariants(): Promise<string>;
  /** Devices that were made with the store keep it until they are closed. Idempotent. */
  close(): void;
}

/** One region of SET_MEM_TABLE or ADD_MEM_REG. Sizes and addresses in bytes. */
export interface MemoryRegion {
  guestPhysicalAddress: bigint;
  sizeBytes: bigint;
  userspaceAddress: bigint;
  mmapOffsetBytes: bigint;
  /** Owned by the call, whatever its outcome. */
  fd: number;
}

/** A split ring as SET_VRING_* described it; addresses are front-end userspace addresses. */
export interface VringSetup {
  queueIndex: number;
  size: number;
  descriptorAddress: bigint;
  availableAddress: bigint;
  usedAddress: bigint;
  lastAvailableIndex: number;
  eventIdx: boolean;
  /** Owned by the call; absent: the ring is looked at every millisecond. */
  kickFd?: number;
  /** Owned by the call; absent: no interrupts. */
  callFd?: number;
}

/** Cumulative; `boundsNs[i]` is the inclusive upper bound of `counts[i]`, the last bucket has none. */
export interface LatencyHistogram {
  op: 'put' | 'get' | 'flush' | 'flush_object' | 'control';
  counts: number[];
  sumNs: number;
}

export interface DeviceCounters {
  requestsTotal: number;
  badRequestsTotal: number;
  /** Chains too broken to answer. */
  brokenChainsTotal: number;
  kicksTotal: number;
  interruptsTotal: number;
  latencyBoundsNs: number[];
  latency: LatencyHistogram[];
}

/**
 * `disk-lost`: the guest goes on with a disk that this service never had; its requests fail until the guest
 * starts anew.
 * `queue-broken`: the guest broke this queue; the others go on.
 * `memory-lost`: the front end truncated memory it shared; end the session.
 * `session-opened`: the driver sent RESET; a disk begins its life, all zeros. `count` times since it was last told.
 * `driver-asks`: the driver asked what its limit or target is, and so need not be told of a change; once a start of
 * the control queue.
 * `ring-silent`: the queue is kicked and yet nothing appears in its ring; the front end's memory is
 * probably not shared. At most once a start of the ring.
 * `scheduling-refused`: the worker runs with a higher latency than it asked for; at most once a device.
 */
export type DeviceEvent =
  | { type: 'queue-broken'; queueIndex: number; reason: string }
  | { type: 'memory-lost'; reason: string }
  | { type: 'session-opened'; count: number }
  | { type: 'driver-asks' }
  | { type: 'disk-lost'; reason: string }
  | { type: 'ring-silent'; queueIndex: number; reason: string }
  | { type: 'scheduling-refused'; reason: string };

/**
 * The data plane of one vhost-user session: guest memory, rings, one worker thread.
 * Promises settle when the worker has adopted the change; they reject with an
 * Error whose `code` is `TMEMD_FRONT_END` when what the front end asked is impossible,
 * `TMEMD_CLOSED` once close() was called. Changes are adopted in the order asked for.
 */
export interface NativeDevice {
  /** Replaces the whole table. Running rings are paused while it is swapped. */
  setMemoryTable(regions: MemoryRegion[]): Promise<void>;
  addMemoryRegion(region: MemoryRegion): Promise<void>;
  removeMemoryRegion(region: Omit<MemoryRegion, 'fd' | 'mmapOffsetBytes'>): Promise<void>;
  /** Processed from then on, once enabled, whether or not a kick came. Starting a started ring is refused. */
  startVring(setup: VringSetup): Promise<void>;
  /** A ring may be started and yet not enabled: it is not processed then. */
  enableVring(queueIndex: number, enabled: boolean): Promise<void>;
  /** These own the descriptor, whatever the outcome; they close the one before. */
  setKickFd(queueIndex: number, fd: number | undefined): Promise<void>;
  setCallFd(queueIndex: number, fd: number | undefined): Promise<void>;
  /**
   * Resolves to the next available index once no request of the ring is in progress; its
   * descriptors are closed. Enabled or not stays as it was said last.
   */
  stopVring(queueIndex: number): Promise<number>;
  /** What STAT answers from now on, as config space has them; no effect once closed, nor on a disk. */
  setLimitAndTarget(limitPages: bigint, targetPages: bigint): void;
  counters(): DeviceCounters;
  /** Stops the worker, unmaps, closes every descriptor. Idempotent; counters() throws once it is done. */
  close(): Promise<void>;
}

export interface DeviceOptions {
  /** 1..256. */
  maxPagesPerRequest: number;
  /** Control queue included; 1..256. */
  queueCount: number;
  /** All regions of a memory table together; a table that is larger is refused. */
  memoryMapBytesMax: number;
  /** Present: a virtio-blk device, which has no control queue. `serial` is what it answers to GET_ID. */
  disk?: { pageCount: number; serial: string };
  onEvent: (event: DeviceEvent) => void;
}

/** What arrived in one read; descriptors beyond what a message may carry are closed with the connection. */
export interface ReceivedBytes {
  bytes: Buffer;
  fds: number[];
  /** More descriptors came than the receive buffer holds. */
  fdsTruncated: boolean;
}

export interface FdConnection {
  readonly peer: { pid: number; uid: number; gid: number };
  /**
   * Exactly `lengthBytes` (1 byte to 1 MiB), with the at most 32 descriptors that came with them. Rejects with code
   * `TMEMD_CLOSED` at end of stream before the first byte, `TMEMD_TRUNCATED` after it,
   * and what descriptors had come are closed with the connection; `EMFILE` when there may be no room for those that
   * come. One read at a time.
   */
  read(lengthBytes: number): Promise<ReceivedBytes>;
  /**
   * 1 byte to 1 MiB and at most 32 descriptors, which are duplicated to the peer and stay the caller's.
   * Resolves when the kernel has taken all of it.
   */
  write(bytes: Buffer, fds?: number[]): Promise<void>;
  /**
   * Calls back once when the process that made the connection has ended, whoever holds its end of the socket by then,
   * and not after close(). False: it cannot be seen from here (another pid namespace). Once a connection.
   */
  watchPeer(onGone: () => void): boolean;
  /**
   * The peer sees the end at once; a pending read rejects with `TMEMD_CLOSED`. Resolves when the socket is closed, and
   * with it what the peer sent and nobody took: that takes as long as the peer's files like. Idempotent.
   */
  close(): Promise<void>;
}

export interface FdListener {
  /** Rejects with `TMEMD_CLOSED` once closed. One accept at a time. */
  accept(): Promise<FdConnection>;
  /** Idempotent. The socket's file stays. */
  close(): void;
}

export type DescriptorKind = 'eventfd' | 'unix-stream' | 'other';

export interface NativeAddon {
  Store: new (options: StoreOptions) => NativeStore;
  Device: new (store: NativeStore, guest: number, options: DeviceOptions) => NativeDevice;
  /** Binds a UNIX stream socket with the mode given (octal). Throws with an errno `code`. */
  listenUnix(path: string, mode: number): FdListener;
  /** Throws with an errno `code`. */
  connectUnix(path: string): FdConnection;
  /** Owns an inherited descriptor: a listening socket or a connected one, told apart by SO_ACCEPTCONN. */
  adoptSocket(fd: number): { listener: FdListener } | { connection: FdConnection };
  /** Owns them; closes them elsewhere, for as long as that takes. Resolves when they are closed. */
  closeFds(fds: number[]): Promise<void>;
  /** Of a descriptor that is not to be trusted: asks nobody but the kernel. A connected UNIX stream socket, an eventfd. */
  descriptorKind(fd: number): DescriptorKind;
  minimumCapacityBytes(): number;
  /**
   * Constants of the wire header without their VIRTIO_TMEM_, SIZEOF_CONFIG, SIZEOF_REQ and SIZEOF_RESP,
   * and CONFIG_<field> for the offsets in config space; virtio-blk's after BLK_. For the test that
   * compares them with ours, and for the driver-side mock.
   */
  wireConstants(): Record<string, number>;
}

/** Loaded from the package's build folder; an AddonMissingError says how to build it. */
export const native: NativeAddon = loadAddon('tmemd') as NativeAddon;
