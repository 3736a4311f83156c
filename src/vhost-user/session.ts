/**
 * One front end's connection, from accept to close: the protocol's state
 * machine. It receives messages one at a time, checks each against the table
 * and its own state, and hands what they set up to the native device. No page
 * request passes through here.
 *
 * The device is opened when the front end takes it: with the first memory it
 * gives that can be mapped. Until then nothing of the guest's is touched, so
 * that whoever only connects, or only asks, changes nothing.
 *
 * Ends, in every case once and with everything closed, when
 *   - the front end closes the connection,
 *   - it breaks the protocol or asks for what is impossible without wanting an
 *     answer (with REPLY_ACK it gets a refusal and goes on),
 *   - the device reports that the guest's memory is gone,
 *   - close() is called, even while a request is waited for.
 *
 * Stopping rings, SET_STATUS 0, RESET_DEVICE and RESET_OWNER leave memory and
 * pools alone: a back end cannot tell a stopped guest from a reset one.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type {
  DeviceCounters,
  DeviceEvent,
  FdConnection,
  NativeAddon,
  NativeDevice,
} from '../native/addon.js';
import { BackendChannel } from './backend-channel.js';
import { ConfigAnnouncer } from './config-announcer.js';
import { requireKind } from './descriptor-kind.js';
import { Discards } from './discards.js';
import { encodeReply, type Message, readMessage } from './message.js';
import type { OwnedFd } from './owned-fd.js';
import {
  decodeConfigRange,
  decodeMemoryRegion,
  decodeMemoryTable,
  decodeU64,
  decodeVringAddresses,
  decodeVringFd,
  decodeVringState,
  encodeConfigRange,
  encodeU64,
  encodeVringState,
} from './payloads.js';
import { ProtocolError, RefusedError } from './protocol-error.js';
import { type Refusal, refusalOf } from './refusal.js';
import {
  Feature,
  MAX_CONFIG_BYTES,
  MAX_MEMORY_REGIONS,
  OFFERED_FEATURES,
  OFFERED_PROTOCOL_FEATURES,
  ProtocolFeature,
  type RequestName,
  type RequestRule,
  requestRules,
} from './requests.js';
import { Vring } from './vring.js';

export interface SessionOptions {
  native: Pick<NativeAddon, 'closeFds' | 'adoptSocket' | 'descriptorKind'>;
  connection: FdConnection;
  claim: Claim;
  /** The session owns the device and closes it. */
  openDevice: (onEvent: (event: DeviceEvent) => void) => NativeDevice;
  /** Control queue included. */
  queueCount: number;
  memoryRegionsMax: number;
  /** What the device offers beyond the rings' features. */
  deviceFeatures: bigint;
  /** The bytes as they are now, at most MAX_CONFIG_BYTES. */
  configSpace: () => Buffer;
  /** SET_OWNER came: the front end means to stay. */
  onOwned: () => void;
  onDeviceEvent: (event: DeviceEvent) => void;
  onRefusal: (refusal: Refusal) => void;
  onRingsChange: () => void;
  onBackendChannelFailure: (error: unknown) => void;
}

/** The guest's one device, as a session gets at it. */
export interface Claim {
  /** Resolves when the device is the caller's to open. Rejects with a RefusedError when another front end has it. */
  reserve(): Promise<void>;
  /** Memory was mapped: the front end has the device until its session ends. */
  taken(): void;
  /** Gives back what was reserved and not taken. */
  release(): void;
}

/** Why the service closed a connection that did nothing wrong. */
export type Closing =
  | 'closed by the service'
  | 'closed by the administrator'
  | 'closed: silent'
  | 'closed: its process has ended'
  | 'closed: yielded to newer ones';

/** Why a session ended; `error` is what the front end did wrong. */
export type SessionEnd =
  | { reason: 'closed by the front end' | Closing }
  | { reason: 'front end misbehaved' | 'guest memory lost' | 'service failed'; error: string };

export interface RingStatus {
  index: number;
  size: number;
  started: boolean;
  enabled: boolean;
}

/** Messages handled before others get their turn: a front end that sends without end has data there each time. */
const MESSAGES_A_TURN = 16;

/** QEMU's microvm has legacy virtio-mmio unless told otherwise. */
const LEGACY_DRIVER =
  'VERSION_1 was not acknowledged: legacy virtio is not served; with QEMU: -global virtio-mmio.force-legacy=false, or disable-legacy=on on a PCI device';

/** Resolves to the payload of a request's own reply, or to nothing. */
type Handler = (message: Message) => Promise<Buffer | undefined> | Buffer | undefined;

export class Session {
  readonly #options: SessionOptions;
  readonly #vrings: Vring[];
  readonly #discards: Discards;
  /** Open from the first memory given on. */
  #device: NativeDevice | undefined;
  readonly #offered: bigint;
  #owned = false;
  #features = 0n;
  #protocolFeatures = 0n;
  #status = 0n;
  #regionCount = 0;
  #backendChannel: BackendChannel | undefined;
  readonly #announcer = new ConfigAnnouncer();
  #lastCounters: DeviceCounters | undefined;
  /** Set by whoever ends the session first. */
  #end: SessionEnd | undefined;
  readonly #closed: Promise<void>;
  #markClosed = () => {};
  #gone: Promise<unknown> = Promise.resolve();

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#discards = new Discards((fds) => options.native.closeFds(fds));
    this.#offered = OFFERED_FEATURES | options.deviceFeatures;
    this.#vrings = Array.from({ length: options.queueCount }, (_, index) => new Vring(index));
    this.#closed = new Promise((resolve) => {
      this.#markClosed = resolve;
    });
  }

  get rings(): RingStatus[] {
    return this.#vrings
      .filter((vring) => vring.described)
      .map(({ index, size, started, enabled }) => ({ index, size, started, enabled }));
  }

  get running(): boolean {
    return this.#vrings.some((vring) => vring.started);
  }

  /** The device's; once it is closing, the last it had; undefined when none was ever open. */
  counters(): DeviceCounters | undefined {
    return this.#lastCounters ?? this.#device?.counters();
  }

  /** The config space is not what it was: the front end is told when that is safe. */
  configChanged(): void {
    this.#announcer.changed();
  }

  #ringsChanged(): void {
    const started = this.#vrings.filter((vring) => vring.started);
    this.#announcer.ringsChanged(
      started.length > 0 && started.every((vring) => vring.enabled),
      started.length > 0,
    );
    this.#options.onRingsChange();
  }

  /** Resolves when everything that the front end sent is closed, which takes as long as it likes; not before run() does. */
  get gone(): Promise<unknown> {
    return this.#gone;
  }

  /** Serves until the end; by then the device is closed, and what the front end sent is being closed. */
  async run(): Promise<SessionEnd> {
    const served = this.#serve();
    try {
      await Promise.race([served, this.#closed]);
    } catch (error) {
      this.#end ??= endOf(error);
    }
    this.#announcer.close();
    for (const vring of this.#vrings) vring.close();
    // What was being read when the end came is discarded by its reader, and that only now.
    this.#gone = Promise.allSettled([
      served,
      this.#options.connection.close(),
      this.#backendChannel?.close(),
      this.#discards.closed(),
    ]).then(() => this.#discards.closed());
    this.#lastCounters = this.#device?.counters();
    await this.#device?.close();
    return this.#end ?? { reason: 'closed by the service' };
  }

  async #serve(): Promise<void> {
    for (let handled = 1; !this.#end; handled += 1) {
      await this.#handleNext();
      if (handled % MESSAGES_A_TURN === 0) await nextTurn();
    }
  }

  /** Makes run() return. */
  close(reason: Closing = 'closed by the service'): void {
    this.#finish({ reason });
  }

  #finish(end: SessionEnd): void {
    this.#end ??= end;
    void this.#options.connection.close();
    this.#markClosed();
  }

  #onDeviceEvent(event: DeviceEvent): void {
    if (event.type === 'driver-asks') this.#announcer.driverAsks();
    this.#options.onDeviceEvent(event);
    if (event.type === 'memory-lost') this.#finish({ reason: 'guest memory lost', error: event.reason });
  }

  async #handleNext(): Promise<void> {
    const message = await readMessage(this.#options.connection, this.#discards.add);
    try {
      await this.#answer(message);
    } finally {
      for (const fd of message.fds) fd.close();
    }
    await this.#discards.closed();
  }

  async #answer(message: Message): Promise<void> {
    const { name } = message;
    const rule: RequestRule = requestRules[name];
    if (rule.needs !== undefined && !(this.#protocolFeatures & rule.needs)) {
      throw new ProtocolError(`${name} without its protocol feature negotiated`);
    }
    if (rule.order !== 'any' && !this.#owned) throw new ProtocolError(`${name} before SET_OWNER`);
    const acknowledge =
      !rule.replies && message.needReply && (this.#protocolFeatures & ProtocolFeature.REPLY_ACK) !== 0n;
    let reply: Buffer | undefined;
    try {
      reply = await this.#handlers[name](message);
    } catch (error) {
      if (error instanceof ProtocolError) throw new ProtocolError(`${name}: ${error.message}`);
      if (!isRefusal(error)) throw error;
      this.#options.onRefusal(refusalOf(name, error.message));
      if (!acknowledge) throw new ProtocolError(`${name}: ${error.message}`);
      reply = encodeU64(1n);
    }
    reply ??= acknowledge ? encodeU64(0n) : undefined;
    if (reply) await this.#options.connection.write(encodeReply(name, reply));
  }

  /** The ring a request names, in the state the table asks for. */
  #vring(name: RequestName, index: number): Vring {
    const vring = this.#vrings[index];
    const { order }: RequestRule = requestRules[name];
    if (!vring) {
      const { length } = this.#vrings;
      throw new ProtocolError(
        `ring ${index}, allowed: 0 to ${length - 1}; give the front end at most ${length} queues (QEMU: num_vqs=${length}, num-queues=${length})`,
      );
    }
    if (order === 'stopped' && vring.started) throw new ProtocolError(`ring ${index} is started`);
    if (order === 'described' && !vring.described) {
      throw new ProtocolError(`ring ${index} has no size or no addresses yet`);
    }
    return vring;
  }

  async #stopRings(): Promise<undefined> {
    for (const vring of this.#vrings) {
      await vring.setEnabled(false);
      await vring.stop();
    }
    this.#ringsChanged();
  }

  async #startRing(message: Message): Promise<undefined> {
    const { index } = decodeVringFd(message.payload, message.fds.length);
    const vring = this.#vring('SET_VRING_KICK', index);
    requireKind(this.#options.native, message.fds[0], 'eventfd');
    if (!(this.#features & Feature.VERSION_1)) throw new ProtocolError(LEGACY_DRIVER);
    await vring.setKick(message.fds[0], (this.#features & Feature.EVENT_IDX) !== 0n);
    // Without the protocol features there is no SET_VRING_ENABLE: rings start enabled.
    if (!(this.#features & Feature.PROTOCOL_FEATURES)) await vring.setEnabled(true);
    this.#ringsChanged();
  }

  readonly #handlers: Record<RequestName, Handler> = {
    GET_FEATURES: () => encodeU64(this.#offered),
    SET_FEATURES: ({ payload }) => {
      this.#features = offeredOnly(decodeU64(payload), this.#offered);
      return undefined;
    },
    GET_PROTOCOL_FEATURES: () => encodeU64(OFFERED_PROTOCOL_FEATURES),
    SET_PROTOCOL_FEATURES: ({ payload }) => {
      this.#protocolFeatures = offeredOnly(decodeU64(payload), OFFERED_PROTOCOL_FEATURES);
      return undefined;
    },
    SET_OWNER: () => {
      if (this.#owned) throw new ProtocolError('sent twice');
      this.#owned = true;
      this.#options.onOwned();
      return undefined;
    },
    RESET_OWNER: () => this.#stopRings(),
    RESET_DEVICE: () => this.#stopRings(),
    GET_QUEUE_NUM: () => encodeU64(BigInt(this.#vrings.length)),
    GET_MAX_MEM_SLOTS: () => encodeU64(BigInt(this.#options.memoryRegionsMax)),

    SET_MEM_TABLE: async ({ payload, fds }) => {
      const table = decodeMemoryTable(payload, fds.length);
      this.#requireSlots(table.length);
      // Nothing to take the device with; an empty table of a front end that has it takes memory away.
      if (table.length === 0 && !this.#device) return undefined;
      await this.#changeMemory((device) =>
        device.setMemoryTable(table.map((region, index) => ({ ...region, fd: take(fds, index) }))),
      );
      this.#regionCount = table.length;
      return undefined;
    },
    ADD_MEM_REG: async ({ payload, fds }) => {
      this.#requireSlots(this.#regionCount + 1);
      const region = decodeMemoryRegion(payload);
      await this.#changeMemory((device) => device.addMemoryRegion({ ...region, fd: take(fds, 0) }));
      this.#regionCount += 1;
      return undefined;
    },
    REM_MEM_REG: async ({ payload }) => {
      const { mmapOffsetBytes: _, ...region } = decodeMemoryRegion(payload);
      if (!this.#device) throw new RefusedError('no such memory region to remove');
      await this.#device.removeMemoryRegion(region);
      this.#regionCount -= 1;
      return undefined;
    },

    SET_VRING_NUM: ({ payload }) => {
      const { index, value } = decodeVringState(payload);
      this.#vring('SET_VRING_NUM', index).setSize(value);
      return undefined;
    },
    SET_VRING_BASE: ({ payload }) => {
      const { index, value } = decodeVringState(payload);
      this.#vring('SET_VRING_BASE', index).setBase(value);
      return undefined;
    },
    SET_VRING_ADDR: ({ payload }) => {
      const { index, ...addresses } = decodeVringAddresses(payload);
      this.#vring('SET_VRING_ADDR', index).setAddresses(addresses);
      return undefined;
    },
    SET_VRING_KICK: (message) => this.#startRing(message),
    SET_VRING_CALL: async ({ payload, fds }) => {
      const { index } = decodeVringFd(payload, fds.length);
      const vring = this.#vring('SET_VRING_CALL', index);
      requireKind(this.#options.native, fds[0], 'eventfd');
      await vring.setCall(fds.shift());
      return undefined;
    },
    // Taken and closed: what breaks a ring is logged here.
    SET_VRING_ERR: ({ payload, fds }) => {
      this.#vring('SET_VRING_ERR', decodeVringFd(payload, fds.length).index);
      requireKind(this.#options.native, fds[0], 'eventfd');
      return undefined;
    },
    SET_VRING_ENABLE: async ({ payload }) => {
      const { index, value } = decodeVringState(payload);
      if (value > 1) throw new ProtocolError(`${value}, allowed: 0 or 1`);
      await this.#vring('SET_VRING_ENABLE', index).setEnabled(value === 1);
      this.#ringsChanged();
      return undefined;
    },
    GET_VRING_BASE: async ({ payload }) => {
      const { index } = decodeVringState(payload);
      const base = await this.#vring('GET_VRING_BASE', index).stop();
      this.#ringsChanged();
      return encodeVringState({ index, value: base });
    },

    // Past its end the config space reads as zeros: QEMU's config_size may be larger.
    GET_CONFIG: ({ payload }) => {
      const range = decodeConfigRange(payload);
      const end = range.offset + range.sizeBytes;
      if (end > MAX_CONFIG_BYTES) throw new ProtocolError(`config space up to byte ${end}`);
      const space = Buffer.alloc(MAX_CONFIG_BYTES);
      this.#options.configSpace().copy(space);
      return encodeConfigRange(range, space.subarray(range.offset, end));
    },
    // A guest may write where nothing is writable; that is not the front end's fault.
    SET_CONFIG: ({ payload }) => {
      decodeConfigRange(payload);
      return undefined;
    },
    SET_BACKEND_REQ_FD: ({ fds }) => this.#openBackendChannel(fds),
    SET_STATUS: ({ payload }) => {
      const status = decodeU64(payload);
      if (status > 0xffn) throw new ProtocolError(`status 0x${status.toString(16)}, allowed: one byte`);
      this.#status = status;
      return status === 0n ? this.#stopRings() : undefined;
    },
    GET_STATUS: () => encodeU64(this.#status),
  };

  #requireSlots(count: number): void {
    const { memoryRegionsMax } = this.#options;
    if (count <= memoryRegionsMax) return;
    const why = memoryRegionsMax < MAX_MEMORY_REGIONS ? ": a guest's share of vm.max_map_count" : '';
    throw new ProtocolError(`more than ${memoryRegionsMax} memory regions${why}`);
  }

  /** The first memory that can be mapped takes the device. */
  async #changeMemory(change: (device: NativeDevice) => Promise<void>): Promise<void> {
    if (this.#device) return change(this.#device);
    const { claim, openDevice } = this.#options;
    await claim.reserve();
    if (this.#end) return claim.release();
    const device = openDevice((event) => this.#onDeviceEvent(event));
    this.#device = device;
    try {
      await change(device);
    } catch (error) {
      this.#device = undefined;
      await device.close();
      claim.release();
      throw error;
    }
    for (const vring of this.#vrings) await vring.attach(device);
    claim.taken();
  }

  async #openBackendChannel(fds: OwnedFd[]): Promise<undefined> {
    requireKind(this.#options.native, fds[0], 'unix-stream');
    // Before the next is taken, or a front end could have us close any number at a time.
    await this.#backendChannel?.close();
    const adopted = this.#options.native.adoptSocket(take(fds, 0));
    if ('listener' in adopted) throw new Error('a connected socket became a listener');
    this.#backendChannel = new BackendChannel(
      adopted.connection,
      () => (this.#protocolFeatures & ProtocolFeature.REPLY_ACK) !== 0n,
      this.#discards.add,
      this.#options.onBackendChannelFailure,
    );
    // Ended meanwhile: nobody else would close it.
    if (this.#end) await this.#backendChannel.close();
    else this.#announcer.setChannel(this.#backendChannel);
  }
}

/** The number of a descriptor the table vouched for; its receiver owns it. */
function take(fds: OwnedFd[], index: number): number {
  const fd = fds[index];
  if (!fd) throw new ProtocolError(`descriptor ${index} missing`);
  return fd.take();
}

function offeredOnly(bits: bigint, offered: bigint): bigint {
  const strange = bits & ~offered;
  if (strange) throw new ProtocolError(`feature bits 0x${strange.toString(16)}, which were not offered`);
  return bits;
}

/** The device could not do what the front end asked; the session can go on. */
function isRefusal(error: unknown): error is Error {
  return (error as NodeJS.ErrnoException).code === 'TMEMD_FRONT_END';
}

function endOf(error: unknown): SessionEnd {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'TMEMD_CLOSED' || code === 'EPIPE' || code === 'ECONNRESET') {
    return { reason: 'closed by the front end' };
  }
  if (code === 'TMEMD_TRUNCATED') return { reason: 'front end misbehaved', error: 'message cut short' };
  return {
    reason: error instanceof ProtocolError ? 'front end misbehaved' : 'service failed',
    error: message,
  };
}
