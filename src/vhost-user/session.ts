/**
 * One front end's connection, from accept to close: the protocol's state
 * machine. It receives messages one at a time, checks each against the table
 * and its own state, and hands what they set up to the native device. No page
 * request passes through here.
 *
 * Ends, in every case once and with everything closed, when
 *   - the front end closes the connection,
 *   - it breaks the protocol or asks for what is impossible without wanting an
 *     answer (with REPLY_ACK it gets a refusal and goes on),
 *   - the device reports that the guest's memory is gone,
 *   - close() is called.
 *
 * Stopping rings, SET_STATUS 0, RESET_DEVICE and RESET_OWNER leave memory and
 * pools alone: a back end cannot tell a stopped guest from a reset one.
 */
import type {
  DeviceCounters,
  DeviceEvent,
  FdConnection,
  NativeAddon,
  NativeDevice,
} from '../native/addon.js';
import { BackendChannel } from './backend-channel.js';
import { ConfigAnnouncer } from './config-announcer.js';
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
import { ProtocolError } from './protocol-error.js';
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
  native: Pick<NativeAddon, 'closeFd' | 'adoptSocket'>;
  connection: FdConnection;
  /** The session owns the device and closes it. */
  openDevice: (onEvent: (event: DeviceEvent) => void) => NativeDevice;
  /** Control queue included. */
  queueCount: number;
  /** What the device offers beyond the rings' features. */
  deviceFeatures: bigint;
  /** The bytes as they are now, at most MAX_CONFIG_BYTES. */
  configSpace: () => Buffer;
  onDeviceEvent: (event: DeviceEvent) => void;
  onRingsChange: () => void;
  onBackendChannelFailure: (error: unknown) => void;
}

/** Why a session ended; `error` is what the front end did wrong. */
export type SessionEnd =
  | { reason: 'closed by the front end' | 'closed by the service' }
  | { reason: 'front end misbehaved' | 'guest memory lost' | 'service failed'; error: string };

export interface RingStatus {
  index: number;
  size: number;
  started: boolean;
  enabled: boolean;
}

/** Resolves to the payload of a request's own reply, or to nothing. */
type Handler = (message: Message) => Promise<Buffer | undefined> | Buffer | undefined;

export class Session {
  readonly #options: SessionOptions;
  readonly #device: NativeDevice;
  readonly #vrings: Vring[];
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

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#offered = OFFERED_FEATURES | options.deviceFeatures;
    this.#device = options.openDevice((event) => this.#onDeviceEvent(event));
    this.#vrings = Array.from({ length: options.queueCount }, (_, index) => new Vring(index, this.#device));
  }

  get rings(): RingStatus[] {
    return this.#vrings
      .filter((vring) => vring.described)
      .map(({ index, size, started, enabled }) => ({ index, size, started, enabled }));
  }

  get running(): boolean {
    return this.#vrings.some((vring) => vring.started);
  }

  /** The device's; once it is closing, the last it had. */
  counters(): DeviceCounters {
    return this.#lastCounters ?? this.#device.counters();
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

  /** Serves until the end; by then everything is closed. */
  async run(): Promise<SessionEnd> {
    try {
      while (!this.#end) await this.#handleNext();
    } catch (error) {
      this.#end ??= endOf(error);
    }
    this.#options.connection.close();
    this.#announcer.close();
    this.#backendChannel?.close();
    for (const vring of this.#vrings) vring.close();
    this.#lastCounters = this.#device.counters();
    await this.#device.close();
    return this.#end;
  }

  /** Makes run() return. */
  close(): void {
    this.#end ??= { reason: 'closed by the service' };
    this.#options.connection.close();
  }

  #onDeviceEvent(event: DeviceEvent): void {
    if (event.type === 'driver-asks') this.#announcer.driverAsks();
    this.#options.onDeviceEvent(event);
    if (event.type !== 'memory-lost') return;
    this.#end ??= { reason: 'guest memory lost', error: event.reason };
    this.#options.connection.close();
  }

  async #handleNext(): Promise<void> {
    const message = await readMessage(this.#options.connection, this.#options.native.closeFd);
    try {
      await this.#answer(message);
    } finally {
      for (const fd of message.fds) fd.close();
    }
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
    if (!vring) throw new ProtocolError(`ring ${index}, allowed: 0 to ${this.#vrings.length - 1}`);
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
    if (!(this.#features & Feature.VERSION_1)) throw new ProtocolError('VERSION_1 was not acknowledged');
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
      return undefined;
    },
    RESET_OWNER: () => this.#stopRings(),
    RESET_DEVICE: () => this.#stopRings(),
    GET_QUEUE_NUM: () => encodeU64(BigInt(this.#vrings.length)),
    GET_MAX_MEM_SLOTS: () => encodeU64(BigInt(MAX_MEMORY_REGIONS)),

    SET_MEM_TABLE: async ({ payload, fds }) => {
      const table = decodeMemoryTable(payload, fds.length);
      await this.#device.setMemoryTable(table.map((region, index) => ({ ...region, fd: take(fds, index) })));
      this.#regionCount = table.length;
      return undefined;
    },
    ADD_MEM_REG: async ({ payload, fds }) => {
      if (this.#regionCount >= MAX_MEMORY_REGIONS) {
        throw new ProtocolError(`more than ${MAX_MEMORY_REGIONS} memory regions`);
      }
      await this.#device.addMemoryRegion({ ...decodeMemoryRegion(payload), fd: take(fds, 0) });
      this.#regionCount += 1;
      return undefined;
    },
    REM_MEM_REG: async ({ payload }) => {
      const { mmapOffsetBytes: _, ...region } = decodeMemoryRegion(payload);
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
      await this.#vring('SET_VRING_CALL', index).setCall(fds.shift());
      return undefined;
    },
    // Taken and closed: what breaks a ring is logged here, and writing to a
    // descriptor of the front end's choosing could block.
    SET_VRING_ERR: ({ payload, fds }) => {
      this.#vring('SET_VRING_ERR', decodeVringFd(payload, fds.length).index);
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
    SET_BACKEND_REQ_FD: ({ fds }) => {
      this.#openBackendChannel(take(fds, 0));
      return undefined;
    },
    SET_STATUS: ({ payload }) => {
      const status = decodeU64(payload);
      if (status > 0xffn) throw new ProtocolError(`status 0x${status.toString(16)}, allowed: one byte`);
      this.#status = status;
      return status === 0n ? this.#stopRings() : undefined;
    },
    GET_STATUS: () => encodeU64(this.#status),
  };

  #openBackendChannel(fd: number): void {
    let adopted: ReturnType<NativeAddon['adoptSocket']>;
    try {
      adopted = this.#options.native.adoptSocket(fd);
    } catch (error) {
      throw new ProtocolError(`not a socket (${(error as Error).message})`);
    }
    if ('listener' in adopted) {
      adopted.listener.close();
      throw new ProtocolError('a listening socket');
    }
    this.#backendChannel?.close();
    this.#backendChannel = new BackendChannel(
      adopted.connection,
      () => (this.#protocolFeatures & ProtocolFeature.REPLY_ACK) !== 0n,
      this.#options.onBackendChannelFailure,
    );
    this.#announcer.setChannel(this.#backendChannel);
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
