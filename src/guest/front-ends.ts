/**
 * A guest's front ends, from accept to close, and which of them has the device.
 *
 *   waiting   connected, and served in all that touches nothing of the guest's: features, config space,
 *             descriptions of rings. Probes, port scanners and a second service looking whether the path is
 *             in use never get further, and change nothing.
 *   holder    took the device: SET_OWNER, then memory that could be mapped. One at a time, until its
 *             connection ends.
 *
 * A guest is connected when it has a holder; only a holder's coming and going moves its pools.
 *
 * Bounds. At most MAX_WAITING wait: one more makes one that did not say SET_OWNER, else the oldest, yield. A
 * connection without SET_OWNER is closed after silenceTimeoutMs, and any whose process has ended, whoever holds its
 * socket by then. One that comes while there is a holder is refused when SUCCESSION_GRACE_MS have passed: the
 * holder's end may not have been noticed yet. What ended connections sent is still being closed, for as long as it
 * takes; while MAX_CONNECTIONS are open or being closed none is accepted.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { FdConnection, FdListener } from '../native/addon.js';
import { RefusedError } from '../vhost-user/protocol-error.js';
import type { Claim, Closing, Session, SessionEnd } from '../vhost-user/session.js';
import type { PoolsKeeper } from './pools-keeper.js';
import type { QuietLog } from './quiet-log.js';

const MAX_WAITING = 8;
const MAX_CONNECTIONS = 24;

/** For its end to be told by the socket, as it mostly is. */
const PROCESS_END_GRACE_MS = 100;

/** How long who comes next waits for the end of the one before to be noticed. */
const SUCCESSION_GRACE_MS = 250;

/** Out of descriptors, most likely: somebody may give some back. */
const ACCEPT_RETRY_MS = 1000;

interface FrontEnd {
  connection: FdConnection;
  peerPid: number;
  /** Absent before it is served. */
  session?: Session;
  /** Said SET_OWNER. */
  owner: boolean;
  taken: boolean;
  /** Told to end. */
  ending: boolean;
}

export interface FrontEndsOptions {
  log: QuietLog;
  keeper: PoolsKeeper;
  /** Infinity: never. */
  silenceTimeoutMs: number;
  openSession: (connection: FdConnection, claim: Claim, onOwned: () => void) => Session;
  /** The holder's session has ended. */
  onLeft: (session: Session) => void;
}

export class FrontEnds {
  readonly #options: FrontEndsOptions;
  /** In the order they came. */
  readonly #all = new Map<FrontEnd, Promise<void>>();
  /** Has the device, or has it reserved while its memory is being mapped. */
  #holder: FrontEnd | undefined;
  /** Told when the device is free. */
  readonly #successors = new Set<() => void>();
  #listener: FdListener | undefined;
  /** Connections that have ended and are being closed. */
  #closingCount = 0;
  #tellOfRoom = () => {};
  #closed = false;
  connectionsTotal = 0;
  connectionsRefusedTotal = 0;
  errorsTotal = 0;

  constructor(options: FrontEndsOptions) {
    this.#options = options;
  }

  get holder(): { session: Session; peerPid: number } | undefined {
    const { session, peerPid, taken } = this.#holder ?? {};
    return session && taken ? { session, peerPid: peerPid ?? 0 } : undefined;
  }

  /** Connections that have not taken the device. */
  get waitingCount(): number {
    return [...this.#all.keys()].filter(({ taken }) => !taken).length;
  }

  /** Serves until close(). */
  async accept(listener: FdListener): Promise<void> {
    this.#listener = listener;
    while (!this.#closed) {
      // One a turn: whoever connects without end has one there each time.
      await nextTurn();
      await this.#room();
      if (this.#closed) return;
      try {
        void this.#admit(await listener.accept(), this.#options.silenceTimeoutMs, true);
      } catch (error) {
        if (this.#closed) return;
        this.#options.log.error({ error: (error as Error).message }, 'cannot accept front ends');
        await new Promise((resolve) => setTimeout(resolve, ACCEPT_RETRY_MS).unref());
      }
    }
  }

  /** Serves a connection that was there before the service, to its end. */
  serve(connection: FdConnection): Promise<void> {
    // Who made a pair of sockets need not be who uses them.
    return this.#admit(connection, Number.POSITIVE_INFINITY, false);
  }

  /** Resolves when one more may be accepted. */
  async #room(): Promise<void> {
    if (this.#all.size + this.#closingCount < MAX_CONNECTIONS) return;
    this.#options.log.warn({}, 'no more front ends accepted: what earlier ones sent takes long to be closed');
    while (!this.#closed && this.#all.size + this.#closingCount >= MAX_CONNECTIONS) {
      await new Promise<void>((resolve) => {
        this.#tellOfRoom = resolve;
      });
    }
  }

  #closing(gone: Promise<unknown>): void {
    this.#closingCount += 1;
    void gone.finally(() => {
      this.#closingCount -= 1;
      this.#tellOfRoom();
    });
  }

  #admit(connection: FdConnection, silenceTimeoutMs: number, watchPeer: boolean): Promise<void> {
    this.#makeRoom();
    const { pid } = connection.peer;
    const frontEnd: FrontEnd = { connection, peerPid: pid, owner: false, taken: false, ending: false };
    const ended = this.#run(frontEnd, silenceTimeoutMs, watchPeer).finally(() => {
      this.#all.delete(frontEnd);
      this.#tellOfRoom();
    });
    this.#all.set(frontEnd, ended);
    return ended;
  }

  #makeRoom(): void {
    const waiting = [...this.#all.keys()].filter((each) => each !== this.#holder);
    if (waiting.length < MAX_WAITING) return;
    const yielding = waiting.find(({ owner }) => !owner) ?? waiting[0];
    if (yielding) this.#end(yielding, 'closed: yielded to newer ones');
  }

  #end(frontEnd: FrontEnd, reason: Closing): void {
    frontEnd.ending = true;
    if (frontEnd.session) frontEnd.session.close(reason);
    else void frontEnd.connection.close();
    // Its session takes a moment to end, and must not be told to yield again.
    if (!frontEnd.taken) this.#all.delete(frontEnd);
  }

  async #run(frontEnd: FrontEnd, silenceTimeoutMs: number, watchPeer: boolean): Promise<void> {
    const { connection, peerPid } = frontEnd;
    if (this.#holder?.taken) await this.#freeWithin(SUCCESSION_GRACE_MS);
    if (this.#closed || frontEnd.ending || this.#holder?.taken) {
      this.#closing(connection.close());
      if (!this.#closed && !frontEnd.ending) this.#refused(peerPid);
      return;
    }
    let session: Session;
    const silence = after(silenceTimeoutMs, () => this.#end(frontEnd, 'closed: silent'));
    try {
      session = this.#options.openSession(connection, this.#claimOf(frontEnd), () => {
        frontEnd.owner = true;
        clearTimeout(silence);
      });
      if (watchPeer) connection.watchPeer(() => this.#processEnded(frontEnd));
    } catch (error) {
      clearTimeout(silence);
      this.#options.log.error({ peerPid, error: (error as Error).message }, 'cannot serve front end');
      this.#closing(connection.close());
      return;
    }
    frontEnd.session = session;
    const end = await session.run();
    clearTimeout(silence);
    this.#closing(session.gone);
    if (frontEnd.taken) this.#options.onLeft(session);
    if (this.#holder === frontEnd) this.#holder = undefined;
    this.#logEnd(end, frontEnd);
    const left = frontEnd.taken && !this.#closed ? this.#options.keeper.frontEndLeft() : undefined;
    this.#tellSuccessors();
    await left;
  }

  #processEnded(frontEnd: FrontEnd): void {
    after(PROCESS_END_GRACE_MS, () => this.#end(frontEnd, 'closed: its process has ended'));
  }

  #claimOf(frontEnd: FrontEnd): Claim {
    return {
      reserve: async () => {
        if (this.#holder && this.#holder !== frontEnd) await this.#freeWithin(SUCCESSION_GRACE_MS);
        await this.#options.keeper.settled;
        if (this.#holder && this.#holder !== frontEnd) {
          this.#refused(frontEnd.peerPid);
          throw new RefusedError(`the device is taken by process ${this.#holder.peerPid}`);
        }
        this.#holder = frontEnd;
      },
      taken: () => {
        frontEnd.taken = true;
        this.#options.keeper.frontEndCame();
        this.connectionsTotal += 1;
        this.#options.log.info({ peerPid: frontEnd.peerPid }, 'front end connected');
      },
      release: () => {
        if (this.#holder !== frontEnd || frontEnd.taken) return;
        this.#holder = undefined;
        this.#tellSuccessors();
      },
    };
  }

  #refused(peerPid: number): void {
    this.connectionsRefusedTotal += 1;
    this.#options.log.warn({ peerPid, servedPid: this.#holder?.peerPid }, 'second connection refused');
  }

  /** Waits for the device to be free. Nothing is left of who waited in vain. */
  #freeWithin(graceMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#successors.delete(done);
        resolve();
      };
      const timer = after(graceMs, done);
      this.#successors.add(done);
    });
  }

  #tellSuccessors(): void {
    for (const tell of [...this.#successors]) tell();
  }

  #logEnd(end: SessionEnd, { peerPid, taken }: FrontEnd): void {
    const { log } = this.#options;
    if (!('error' in end)) {
      log.info({ peerPid, tookDevice: taken }, `connection ${end.reason}`);
      return;
    }
    this.errorsTotal += 1;
    const level = end.reason === 'service failed' ? 'error' : 'warn';
    log[level]({ peerPid, error: end.error }, `connection closed: ${end.reason}`);
  }

  /** Ends every connection; more may come. Resolves once they have ended. */
  async disconnect(reason: Closing): Promise<void> {
    const ended = [...this.#all.values()];
    for (const frontEnd of [...this.#all.keys()]) this.#end(frontEnd, reason);
    await Promise.all(ended);
  }

  /** The same, and none comes any more. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#listener?.close();
    this.#tellSuccessors();
    this.#tellOfRoom();
    await this.disconnect('closed by the service');
  }
}

/** Keeps no process alive. */
function after(timeoutMs: number, then: () => void): NodeJS.Timeout | undefined {
  return Number.isFinite(timeoutMs) ? setTimeout(then, timeoutMs).unref() : undefined;
}
