/**
 * A guest: its pools in the store, its socket, its settings, and at most one
 * front end at a time that has its device (front-ends.ts). Its identity is the
 * socket a front end came in on.
 *
 * Its personality is what it is shown: virtio-tmem, or with `disk` in its
 * configuration a virtio-blk disk on a pool of the same store.
 */
import type { Logger } from 'pino';
import { checkLimits, type GuestConfig } from '../config/config.js';
import { ConfigError } from '../config/config-error.js';
import type {
  DeviceCounters,
  DeviceEvent,
  FdConnection,
  FdListener,
  NativeAddon,
  NativeStore,
} from '../native/addon.js';
import type { GuestCounters, PoolCounters } from '../native/counters.js';
import { type RefusalKind, refusalKinds } from '../vhost-user/refusal.js';
import { type Claim, type RingStatus, Session } from '../vhost-user/session.js';
import { encodeConfigSpace, encodeTarget } from './config-space.js';
import { addDeviceCounters, keepDeviceCounters } from './device-totals.js';
import { DISK_FEATURES, encodeDiskConfigSpace } from './disk.js';
import { FrontEnds } from './front-ends.js';
import { PoolsKeeper } from './pools-keeper.js';
import { QuietLog } from './quiet-log.js';

/** Settings that may change while the service runs; absent members stay as they are. */
export interface Tuning {
  weight?: number | undefined;
  capPages?: number | undefined;
  limitPages?: number | undefined;
  /** null: no wish. */
  targetPages?: number | null | undefined;
  frozen?: boolean | undefined;
}

export type GuestState = 'absent' | 'orphaned' | 'connected' | 'running';

/** Requests of front ends that were refused, by what they were about. */
export type Refusals = Record<RefusalKind, number>;

export interface GuestStatus {
  name: string;
  personality: 'tmem' | 'blk';
  state: GuestState;
  socket: string;
  /** Of the front end that has the device. */
  peerPid: number | null;
  /** Front ends that have not taken the device. */
  connectionsWaiting: number;
  rings: RingStatus[];
  group: string | null;
  requestQueues: number;
  maxPools: number;
  maxPagesPerRequest: number;
  /** null: never. */
  orphanTimeoutMs: number | null;
  targetPages: number | null;
  connectionsTotal: number;
  connectionsRefusedTotal: number;
  frontEndErrorsTotal: number;
  requestsRefused: Refusals;
  counters: GuestCounters;
  /** null until the first session. */
  device: DeviceCounters | null;
}

/** Where front ends come from: one after the other, or one that is there already. */
export type FrontEndSource = { listener: FdListener } | { connection: FdConnection };

/** The guest's rings run; the administrator did not insist. */
export class GuestRunningError extends Error {}

export class Guest {
  readonly name: string;
  readonly #config: GuestConfig;
  readonly #native: NativeAddon;
  readonly #store: NativeStore;
  readonly #log: QuietLog;
  readonly #id: number;
  readonly #keeper: PoolsKeeper;
  #capPages: number;
  #limitPages: number;
  #targetPages: number | undefined;
  readonly #frontEnds: FrontEnds;
  #deviceTotals: DeviceCounters | undefined;
  /** To the device of the last session. */
  #tellLimitAndTarget = () => {};
  readonly #requestsRefused = Object.fromEntries(refusalKinds.map((kind) => [kind, 0])) as Refusals;
  #schedulingRefusalSaid = false;

  /** Throws with code TMEMD_CONFIG when the store cannot honour the settings. */
  constructor(config: GuestConfig, native: NativeAddon, store: NativeStore, log: Logger) {
    this.name = config.name;
    this.#config = config;
    this.#native = native;
    this.#store = store;
    this.#log = new QuietLog(log.child({ guest: config.name }));
    this.#capPages = config.capPages;
    this.#limitPages = config.limitPages;
    this.#id = store.addGuest({
      name: config.name,
      ...(config.group !== undefined && { dedupGroup: config.group }),
      weight: config.weight,
      capPages: config.capPages,
      persistentReservePages: config.reservePages,
      persistentLimitPages: config.limitPages,
      frozen: config.frozen,
      maxPools: config.maxPools,
      numaNode: config.numaNode ?? -1,
    });
    this.#keeper = new PoolsKeeper(store, this.#id, config, this.#log);
    this.#frontEnds = new FrontEnds({
      log: this.#log,
      keeper: this.#keeper,
      silenceTimeoutMs: config.silenceTimeoutMs,
      openSession: (connection, claim, onOwned) => this.#openSession(connection, claim, onOwned),
      onLeft: (session) => {
        const counters = session.counters();
        if (counters) this.#deviceTotals = keepDeviceCounters(this.#deviceTotals, counters);
      },
    });
  }

  /** Serves front ends until nothing more can come: close(), or the end of a lone connection. */
  serve(source: FrontEndSource): Promise<void> {
    return 'connection' in source
      ? this.#frontEnds.serve(source.connection)
      : this.#frontEnds.accept(source.listener);
  }

  #openSession(connection: FdConnection, claim: Claim, onOwned: () => void): Session {
    const { maxPagesPerRequest, memoryMapBytesMax, requestQueueCount, disk } = this.#config;
    const queueCount = disk ? requestQueueCount : requestQueueCount + 1;
    const session = new Session({
      native: this.#native,
      connection,
      claim,
      onOwned,
      openDevice: (onEvent) => {
        const device = new this.#native.Device(this.#store, this.#id, {
          maxPagesPerRequest,
          queueCount,
          memoryMapBytesMax,
          ...(disk && { disk: { pageCount: disk.pageCount, serial: disk.serial } }),
          onEvent,
        });
        this.#tellLimitAndTarget = () =>
          device.setLimitAndTarget(BigInt(this.#limitPages), encodeTarget(this.#targetPages));
        this.#tellLimitAndTarget();
        return device;
      },
      queueCount,
      memoryRegionsMax: this.#config.memoryRegionsMax,
      deviceFeatures: disk ? DISK_FEATURES : 0n,
      configSpace: () => this.#configSpace(),
      onDeviceEvent: (event) => this.#onDeviceEvent(event),
      onRefusal: ({ kind, ...refusal }) => {
        this.#requestsRefused[kind] += 1;
        this.#log.warn({ peerPid: connection.peer.pid, ...refusal }, 'request of the front end refused');
      },
      onRingsChange: () => this.#keeper.ringsChanged(session.running),
      onBackendChannelFailure: (error) =>
        this.#log.warn({ error: (error as Error).message }, 'front end cannot be told of a config change'),
    });
    return session;
  }

  #onDeviceEvent(event: DeviceEvent): void {
    if (event.type === 'session-opened') {
      const message = this.#config.disk ? 'disk begins, all zeros' : 'driver opened a session';
      this.#log.info({}, message, event.count);
    } else if (event.type === 'disk-lost') {
      this.#log.error({ error: event.reason }, 'disk lost: its requests fail until the guest starts anew');
    } else if (event.type === 'queue-broken') {
      this.#log.warn({ queue: event.queueIndex, error: event.reason }, 'guest broke a queue');
    } else if (event.type === 'ring-silent') {
      this.#log.warn({ queue: event.queueIndex, error: event.reason }, 'guest memory is probably not shared');
    } else if (event.type === 'scheduling-refused' && !this.#schedulingRefusalSaid) {
      this.#schedulingRefusalSaid = true;
      this.#log.warn({ error: event.reason }, 'worker runs with a higher latency than it asked for');
    }
  }

  #configSpace(): Buffer {
    if (this.#config.disk) return encodeDiskConfigSpace(this.#config.disk, this.#config.requestQueueCount);
    return encodeConfigSpace({
      requestQueueCount: this.#config.requestQueueCount,
      maxPagesPerRequest: this.#config.maxPagesPerRequest,
      maxPools: this.#config.maxPools,
      reservePages: this.#config.reservePages,
      limitPages: this.#limitPages,
      targetPages: this.#targetPages,
    });
  }

  /** All or nothing. Throws a ConfigError, or with code TMEMD_CONFIG, when the values do not fit. */
  tune(tuning: Tuning): void {
    const capPages = tuning.capPages ?? this.#capPages;
    const limitPages = tuning.limitPages ?? this.#limitPages;
    if (this.#config.disk && tuning.targetPages !== undefined && tuning.targetPages !== null) {
      throw new ConfigError(`guest.${this.name}.target: allowed: only with personality = "tmem"`);
    }
    checkLimits({ name: this.name, capPages, limitPages, reservePages: this.#config.reservePages });
    this.#store.updateGuest(this.#id, {
      ...(tuning.weight !== undefined && { weight: tuning.weight }),
      ...(tuning.capPages !== undefined && { capPages }),
      ...(tuning.limitPages !== undefined && { persistentLimitPages: limitPages }),
      ...(tuning.frozen !== undefined && { frozen: tuning.frozen }),
    });
    const before = this.#configSpace();
    this.#capPages = capPages;
    this.#limitPages = limitPages;
    if (tuning.targetPages !== undefined) this.#targetPages = tuning.targetPages ?? undefined;
    this.#log.info(tuning, 'settings changed');
    if (before.equals(this.#configSpace())) return;
    this.#tellLimitAndTarget();
    this.#frontEnds.holder?.session.configChanged();
  }

  /** Drops every pool. A running guest would lose its swap: only when `force`d. */
  async drop(force: boolean): Promise<void> {
    this.#refuseWhileRunning(force, 'its pages');
    await this.#keeper.drop('administrator');
  }

  /** Closes its connections. A running guest would lose its device: only when `force`d. */
  async disconnect(force: boolean): Promise<void> {
    this.#refuseWhileRunning(force, 'its device');
    await this.#frontEnds.disconnect('closed by the administrator');
  }

  #refuseWhileRunning(force: boolean, loss: string): void {
    if (force || !this.#frontEnds.holder?.session.running) return;
    throw new GuestRunningError(`guest ${this.name} is running and would lose ${loss}`);
  }

  status(): GuestStatus {
    const { endpoint } = this.#config;
    const { holder } = this.#frontEnds;
    return {
      name: this.name,
      personality: this.#config.disk ? 'blk' : 'tmem',
      state: this.#state(),
      socket: 'path' in endpoint ? endpoint.path : `fd ${endpoint.fd}`,
      peerPid: holder?.peerPid ?? null,
      connectionsWaiting: this.#frontEnds.waitingCount,
      rings: holder?.session.rings ?? [],
      group: this.#config.group ?? null,
      requestQueues: this.#config.requestQueueCount,
      maxPools: this.#config.maxPools,
      maxPagesPerRequest: this.#config.maxPagesPerRequest,
      orphanTimeoutMs: Number.isFinite(this.#config.orphanTimeoutMs) ? this.#config.orphanTimeoutMs : null,
      targetPages: this.#targetPages ?? null,
      connectionsTotal: this.#frontEnds.connectionsTotal,
      connectionsRefusedTotal: this.#frontEnds.connectionsRefusedTotal,
      frontEndErrorsTotal: this.#frontEnds.errorsTotal,
      requestsRefused: { ...this.#requestsRefused },
      counters: this.#store.guestCounters(this.#id),
      device: this.#deviceCounters() ?? null,
    };
  }

  #state(): GuestState {
    const { holder } = this.#frontEnds;
    if (holder) return holder.session.running ? 'running' : 'connected';
    return this.#keeper.orphaned ? 'orphaned' : 'absent';
  }

  #deviceCounters(): DeviceCounters | undefined {
    const current = this.#frontEnds.holder?.session.counters();
    return current ? addDeviceCounters(this.#deviceTotals, current) : this.#deviceTotals;
  }

  pools(): PoolCounters[] {
    return this.#store.poolCounters(this.#id);
  }

  /** Stops listening and ends the sessions once their requests in progress are done. Idempotent. */
  async close(): Promise<void> {
    await this.#frontEnds.close();
    await this.#keeper.close();
    this.#log.close();
  }
}
