/**
 * What becomes of a guest's pools while nobody uses them:
 *   rings stopped      kept; after STOPPED_WARNING_MS with pages held, a warning
 *   session ended      orphaned: dropped after orphanTimeoutMs unless a front end is back by then
 *   service stopped    gone with the store; with an arena file kept in it, for the service that comes after
 * RESET by a new driver, and when a disk begins a new life, is the device's business.
 */
import type { GuestConfig } from '../config/config.js';
import type { NativeStore } from '../native/addon.js';
import type { QuietLog } from './quiet-log.js';

/** Rings stopped this long with pages held are worth a line: the guest may never come back for them. */
export const STOPPED_WARNING_MS = 10 * 60e3;

export class PoolsKeeper {
  readonly #store: NativeStore;
  readonly #guest: number;
  readonly #config: GuestConfig;
  readonly #log: QuietLog;
  /** The last drop of the pools, done or under way. */
  #dropped: Promise<void> = Promise.resolve();
  /** No front end, and pools may be kept. */
  #orphaned = false;
  #orphanTimer: NodeJS.Timeout | undefined;
  #stoppedTimer: NodeJS.Timeout | undefined;

  /** @param guest as the store knows it */
  constructor(store: NativeStore, guest: number, config: GuestConfig, log: QuietLog) {
    this.#store = store;
    this.#guest = guest;
    this.#config = config;
    this.#log = log;
    // Of a service before this one: kept even where a closed connection would drop them.
    const { pages, damagedPages } = store.guestCounters(guest);
    if (pages > 0) this.#keepOrphaned();
    if (damagedPages > 0) log.error({ pages, damagedPages }, 'pages in the arena are damaged');
  }

  get orphaned(): boolean {
    return this.#orphaned;
  }

  /** Resolves when no drop is under way: it would hit the pools of a session that is opened before. */
  get settled(): Promise<void> {
    return this.#dropped;
  }

  frontEndCame(): void {
    clearTimeout(this.#orphanTimer);
    this.#orphaned = false;
  }

  async frontEndLeft(): Promise<void> {
    clearTimeout(this.#stoppedTimer);
    if (this.#config.orphanTimeoutMs === 0) return this.drop('connection closed');
    this.#keepOrphaned();
  }

  #keepOrphaned(): void {
    const { orphanTimeoutMs } = this.#config;
    this.#orphaned = true;
    if (orphanTimeoutMs === 0 || orphanTimeoutMs === Number.POSITIVE_INFINITY) return;
    this.#orphanTimer = setTimeout(() => void this.drop('orphan timeout'), orphanTimeoutMs);
  }

  /** (Re)starts the wait for the warning. */
  ringsChanged(running: boolean): void {
    clearTimeout(this.#stoppedTimer);
    // A disk is there to be kept.
    if (running || this.#config.disk) return;
    this.#stoppedTimer = setTimeout(() => {
      const { pages } = this.#store.guestCounters(this.#guest);
      if (pages > 0)
        this.#log.warn({ pages, stoppedMs: STOPPED_WARNING_MS }, 'rings stopped for long, pools kept');
    }, STOPPED_WARNING_MS);
    this.#stoppedTimer.unref();
  }

  drop(reason: string): Promise<void> {
    const { pages } = this.#store.guestCounters(this.#guest);
    this.#orphaned = false;
    this.#dropped = this.#store.dropPools(this.#guest).then(() => {
      this.#log.info({ pages, reason }, 'pools dropped');
    });
    return this.#dropped;
  }

  /** The pools stay as they are from now on. Resolves when no drop is under way. */
  close(): Promise<void> {
    clearTimeout(this.#orphanTimer);
    clearTimeout(this.#stoppedTimer);
    return this.#dropped;
  }
}
