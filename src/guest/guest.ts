/**
 * A guest: its pools in the store, its socket, its settings, and at most one
 * session at a time. Its identity is the socket a front end came in on.
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
import { type RingStatus, Session, type SessionEnd } from '../vhost-user/session.js';
import { encodeConfigSpace, encodeTarget } from './config-space.js';
import { addDeviceCounters } from './device-totals.js';
import { DISK_FEATURES, encodeDiskConfigSpace } from './disk.js';
import { PoolsKeeper } from './pools-keeper.js';

/** How long a new connection waits for the end of the one before to be noticed. */
const SUCCESSION_GRACE_MS = 250;

/** Out of descriptors, most likely: somebody may give some back. */
const ACCEPT_RETRY_MS = 1000;

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

export interface GuestStatus {
  name: string;
  personality: 'tmem' | 'blk';
  state: GuestState;
  socket: string;
  peerPid: number | null;
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
  readonly #log: Logger;
  readonly #id: number;
  readonly #keeper: PoolsKeeper;
  #capPages: number;
  #limitPages: number;
  #targetPages: number | undefined;
  #listener: FdListener | undefined;
  #session: { session: Session; peerPid: number; ended: Promise<void> } | undefined;
  #deviceTotals: DeviceCounters | undefined;
  /** To the device of the last session. */
  #tellLimitAndTarget = () => {};
  #connectionsTotal = 0;
  #connectionsRefusedTotal = 0;
  #frontEndErrorsTotal = 0;
  #schedulingRefusalSaid = false;
  #closed = false;

  /** Throws with code TMEMD_CONFIG when the store cannot honour the settings. */
  constructor(config: GuestConfig, native: NativeAddon, store: NativeStore, log: Logger) {
    this.name = config.name;
    this.#config = config;
    this.#native = native;
    this.#store = store;
    this.#log = log.child({ guest: config.name });
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
  }

  /** Serves one front end after the other until nothing more can come: close(), or the end of a lone connection. */
  async serve(source: FrontEndSource): Promise<void> {
    if ('connection' in source) {
      this.#connect(source.connection);
      return this.#session?.ended;
    }
    this.#listener = source.listener;
    while (!this.#closed) {
      let connection: FdConnection;
      try {
        connection = await source.listener.accept();
      } catch (error) {
        if (this.#closed) return;
        this.#log.error({ error: (error as Error).message }, 'cannot accept front ends');
        await after(ACCEPT_RETRY_MS);
        continue;
      }
      await this.#sessionEndsWithin(SUCCESSION_GRACE_MS);
      await this.#keeper.settled;
      this.#connect(connection);
    }
  }

  /** Waits for a session that is about to end: its front end's successor is not a second one. */
  async #sessionEndsWithin(graceMs: number): Promise<void> {
    if (!this.#session) return;
    await Promise.race([this.#session.ended, after(graceMs)]);
  }

  #connect(connection: FdConnection): void {
    const { pid } = connection.peer;
    if (this.#session || this.#closed) {
      this.#connectionsRefusedTotal += 1;
      this.#log.warn({ peerPid: pid, servedPid: this.#session?.peerPid }, 'second connection refused');
      connection.close();
      return;
    }
    let session: Session;
    try {
      session = this.#openSession(connection);
    } catch (error) {
      this.#log.error({ peerPid: pid, error: (error as Error).message }, 'cannot serve front end');
      connection.close();
      return;
    }
    this.#keeper.frontEndCame();
    this.#connectionsTotal += 1;
    this.#log.info({ peerPid: pid }, 'front end connected');
    this.#session = { session, peerPid: pid, ended: this.#run(session, pid) };
  }

  #openSession(connection: FdConnection): Session {
    const { maxPagesPerRequest, requestQueueCount, disk } = this.#config;
    const queueCount = disk ? requestQueueCount : requestQueueCount + 1;
    const session = new Session({
      native: this.#native,
      connection,
      openDevice: (onEvent) => {
        const device = new this.#native.Device(this.#store, this.#id, {
          maxPagesPerRequest,
          queueCount,
          ...(disk && { disk: { pageCount: disk.pageCount, serial: this.name } }),
          onEvent,
        });
        this.#tellLimitAndTarget = () =>
          device.setLimitAndTarget(BigInt(this.#limitPages), encodeTarget(this.#targetPages));
        this.#tellLimitAndTarget();
        return device;
      },
      queueCount,
      deviceFeatures: disk ? DISK_FEATURES : 0n,
      configSpace: () => this.#configSpace(),
      onDeviceEvent: (event) => this.#onDeviceEvent(event),
      onRingsChange: () => this.#keeper.ringsChanged(session.running),
      onBackendChannelFailure: (error) =>
        this.#log.warn({ error: (error as Error).message }, 'front end cannot be told of a config change'),
    });
    return session;
  }

  async #run(session: Session, peerPid: number): Promise<void> {
    const end = await session.run();
    this.#deviceTotals = addDeviceCounters(this.#deviceTotals, session.counters());
    this.#session = undefined;
    this.#logEnd(end, peerPid);
    if (!this.#closed) await this.#keeper.frontEndLeft();
  }

  #logEnd(end: SessionEnd, peerPid: number): void {
    if (!('error' in end)) {
      this.#log.info({ peerPid }, `connection ${end.reason}`);
      return;
    }
    this.#frontEndErrorsTotal += 1;
    const level = end.reason === 'service failed' ? 'error' : 'warn';
    this.#log[level]({ peerPid, error: end.error }, `connection closed: ${end.reason}`);
  }

  #onDeviceEvent(event: DeviceEvent): void {
    if (event.type === 'session-opened') {
      this.#log.info(this.#config.disk ? 'disk begins, all zeros' : 'driver opened a session');
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
    this.#session?.session.configChanged();
  }

  /** Drops every pool. A running guest would lose its swap: only when `force`d. */
  async drop(force: boolean): Promise<void> {
    if (this.#session?.session.running && !force) {
      throw new GuestRunningError(`guest ${this.name} is running and would lose its pages`);
    }
    await this.#keeper.drop('administrator');
  }

  status(): GuestStatus {
    const { endpoint } = this.#config;
    return {
      name: this.name,
      personality: this.#config.disk ? 'blk' : 'tmem',
      state: this.#state(),
      socket: 'path' in endpoint ? endpoint.path : `fd ${endpoint.fd}`,
      peerPid: this.#session?.peerPid ?? null,
      rings: this.#session?.session.rings ?? [],
      group: this.#config.group ?? null,
      requestQueues: this.#config.requestQueueCount,
      maxPools: this.#config.maxPools,
      maxPagesPerRequest: this.#config.maxPagesPerRequest,
      orphanTimeoutMs: Number.isFinite(this.#config.orphanTimeoutMs) ? this.#config.orphanTimeoutMs : null,
      targetPages: this.#targetPages ?? null,
      connectionsTotal: this.#connectionsTotal,
      connectionsRefusedTotal: this.#connectionsRefusedTotal,
      frontEndErrorsTotal: this.#frontEndErrorsTotal,
      counters: this.#store.guestCounters(this.#id),
      device: this.#deviceCounters() ?? null,
    };
  }

  #state(): GuestState {
    if (this.#session) return this.#session.session.running ? 'running' : 'connected';
    return this.#keeper.orphaned ? 'orphaned' : 'absent';
  }

  #deviceCounters(): DeviceCounters | undefined {
    if (!this.#session) return this.#deviceTotals;
    return addDeviceCounters(this.#deviceTotals, this.#session.session.counters());
  }

  pools(): PoolCounters[] {
    return this.#store.poolCounters(this.#id);
  }

  /** Stops listening and ends the session once its requests in progress are done. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#listener?.close();
    this.#session?.session.close();
    await this.#session?.ended;
    await this.#keeper.close();
  }
}

/** Keeps no process alive. */
function after(timeoutMs: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, timeoutMs).unref();
  });
}
