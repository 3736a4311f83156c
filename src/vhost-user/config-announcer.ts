/**
 * When the front end is told that the config space changed.
 *
 * A driver that asks for limit and target (STAT, PROTOCOL.md) is never told: it will see. For the others the front
 * end is sent BACKEND_CONFIG_CHANGE_MSG, which QEMU's generic device (to 11.1 at least) does not survive while its
 * driver is not up: from its start until the rings run, and from when they stop. So a change is
 *
 *   owed       from changed() until it is announced, or the driver turns out to ask
 *   announced  once the rings have run for SETTLE_MS, one at a time: the next when this one was answered
 *
 * SETTLE_MS lets a driver that asks do so first, and keeps clear of starts that do not last. What remains, for
 * drivers that do not ask: rings that stop between our write and the front end's read. It cannot be called back, and
 * waiting for the answer before GET_VRING_BASE is answered would hang both: QEMU reads the channel in the very
 * thread that waits for that.
 */
import type { BackendChannel } from './backend-channel.js';

export const SETTLE_MS = 1000;

export class ConfigAnnouncer {
  #channel: BackendChannel | undefined;
  #owed = false;
  #driverAsks = false;
  #ringsRun = false;
  #settled = false;
  #settling: NodeJS.Timeout | undefined;

  /** The one before, if any, is the caller's to close. */
  setChannel(channel: BackendChannel): void {
    this.#channel = channel;
    this.#announce();
  }

  /** The config space is not what it was. */
  changed(): void {
    this.#owed = !this.#driverAsks;
    this.#announce();
  }

  /** It will go on asking, until its rings stop. */
  driverAsks(): void {
    this.#driverAsks = true;
    this.#owed = false;
  }

  /** @param run some ring is started, and every one that is started is enabled: the driver is up */
  ringsChanged(run: boolean, started: boolean): void {
    // Of the next driver nothing is known.
    if (!started) this.#driverAsks = false;
    if (run === this.#ringsRun) return;
    this.#ringsRun = run;
    this.#settled = false;
    clearTimeout(this.#settling);
    if (!run) return;
    this.#settling = setTimeout(() => {
      this.#settled = true;
      this.#announce();
    }, SETTLE_MS);
    this.#settling.unref();
  }

  #announce(): void {
    if (!this.#owed || !this.#settled || !this.#channel || this.#channel.busy) return;
    this.#owed = false;
    this.#channel.announce(() => this.#announce());
  }

  /** Announces nothing any more. Idempotent. */
  close(): void {
    clearTimeout(this.#settling);
    this.#channel = undefined;
  }
}
