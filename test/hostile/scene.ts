/**
 * Where every hostile test plays: a real service with an attacker, as a guest
 * of either personality, and a bystander. Whatever the attacker does, afterwards
 *
 *   - the bystander's pages are what it put, and it can go on putting;
 *   - the service runs, answers its administrator, and its store adds up;
 *   - it holds as many descriptors as before the attacker came;
 *   - it wrote nothing to stderr but log lines (no sanitizer, no stack trace).
 *
 * In a siege (siege.ts) there is a victim too, whose latencies are measured.
 */
import { expect } from 'vitest';
import { BlkGuest, type BlkGuestSettings } from '../mock/blk-guest.js';
import { expectOk, Guest, type GuestSettings, type Key } from '../mock/guest.js';
import { wire } from '../mock/mock.js';
import { Service } from '../mock/service.js';
import { pageOf } from './page.js';
import { startVictim, type Victim } from './victim.js';

const SETTLE_MS = 60_000;
const LOOK_EVERY_MS = 20;

/** A well-behaved guest whose pages must never be anything but its own. */
class Bystander {
  static readonly #pageCount = 48;
  readonly #guest: Guest;
  readonly #pool: number;
  #generation = 0;

  constructor(socketPath: string) {
    this.#guest = new Guest(socketPath, { queues: 1 });
    this.#guest.reset();
    this.#pool = this.#guest.createPool(true);
    for (let index = 0; index < Bystander.#pageCount; index += 1) this.#put(index);
  }

  #key(index: number): Key {
    return { pool: this.#pool, oid: [7n, 0n, BigInt(index % 3)], index };
  }

  #page(index: number): Buffer {
    return pageOf(1_000_000 + index + (index === 0 ? this.#generation * 1000 : 0));
  }

  #put(index: number): void {
    expectOk(this.#guest.put(1, this.#key(index), this.#page(index)));
  }

  /** Gets and compares every page, then replaces one so that puts are seen to go on too. */
  verify(): void {
    for (let index = 0; index < Bystander.#pageCount; index += 1) {
      const got = expectOk(this.#guest.get(1, this.#key(index)));
      expect(got.data.equals(this.#page(index)), `the bystander's page ${index}`).toBe(true);
    }
    this.#generation += 1;
    this.#put(0);
  }

  close(): void {
    this.#guest.close();
  }
}

export class Scene {
  readonly service: Service;
  readonly bystander: Bystander;
  #baselineFds = 0;
  #victim: Victim | undefined;
  readonly #attackers: { close(): void }[] = [];

  private constructor(service: Service) {
    this.service = service;
    this.bystander = new Bystander(service.socket('bystander'));
  }

  static async open(): Promise<Scene> {
    const siege = process.env.TMEMD_SIEGE;
    const service = await Service.start({
      memory: '128MiB',
      guests: {
        attacker: { queues: 2, max_pages_per_request: 8, max_pools: 20 },
        disk: { personality: 'blk', size: '8MiB', queues: 2 },
        bystander: { queues: 2 },
        ...(siege !== undefined && {
          victim: { queues: 1 },
          witness: { personality: 'blk', size: '1MiB', queues: 1 },
        }),
      },
    });
    const scene = new Scene(service);
    if (siege !== undefined) {
      scene.#victim = await startVictim(service.socket('victim'), service.socket('witness'), siege);
    }
    scene.#baselineFds = await scene.#openFds();
    return scene;
  }

  get attackerSocket(): string {
    return this.service.socket('attacker');
  }

  /** The attacker with its rings started and no session, closed with the test at the latest. */
  attach(settings: GuestSettings = {}): Guest {
    const guest = new Guest(this.attackerSocket, { queues: 2, maxPages: 8, ...settings });
    this.#attackers.push(guest);
    return guest;
  }

  /** The same with a session and a persistent pool (id 0). */
  attacker(settings: GuestSettings = {}): Guest {
    const guest = this.attach(settings);
    guest.reset();
    expect(guest.createPool(true)).toBe(0);
    return guest;
  }

  /** The attacker as a guest that has a disk. */
  attachToDisk(settings: BlkGuestSettings = {}): BlkGuest {
    const guest = new BlkGuest(this.service.socket('disk'), { queues: 2, ...settings });
    this.#attackers.push(guest);
    return guest;
  }

  /** A request through the administrator's socket comes first, so that exactly one such connection is open. */
  async #openFds(): Promise<number> {
    await this.service.admin.store();
    return this.service.openFds();
  }

  /** Everything the head of this file promises. */
  async expectUnharmed(): Promise<void> {
    await this.service.admin.store();
    this.bystander.verify();
    for (const attacker of this.#attackers.splice(0)) attacker.close();
    const deadline = Date.now() + SETTLE_MS;
    let fds = await this.#openFds();
    while (fds !== this.#baselineFds && Date.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
      fds = await this.#openFds();
    }
    expect(fds, 'descriptors the service holds open').toBe(this.#baselineFds);
    expect(await this.service.admin.check()).toEqual({ ok: true, problem: '' });
    expect(this.service.running).toBe(true);
    expect(this.service.noise).toEqual([]);
    this.bystander.verify();
  }

  /** Resolves once the service logged this message `count` times or more. */
  async logged(text: string, count = 1): Promise<void> {
    const deadline = Date.now() + SETTLE_MS;
    while (this.service.log.filter(({ msg }) => msg === text).length < count) {
      if (Date.now() > deadline) throw new Error(`never logged: ${text}`);
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
    }
  }

  timesLogged(text: string): number {
    return this.service.log.filter(({ msg }) => msg === text).length;
  }

  async close(): Promise<void> {
    await this.#victim?.end();
    this.bystander.close();
    expect(await this.service.stop()).toEqual({ code: 0, signal: null });
  }
}

/** The attacker's own page, put before the attack and looked at after it. */
export class OwnPage {
  static readonly key: Key = { pool: 0, oid: [1n, 2n, 3n], index: 5 };
  readonly #page = pageOf(77);

  put(guest: Guest): this {
    expectOk(guest.put(1, OwnPage.key, this.#page));
    return this;
  }

  expectIntact(guest: Guest, queueIndex = 1): void {
    const got = guest.get(queueIndex, OwnPage.key);
    expect(got.status).toBe(wire.S_OK);
    expect(got.data.equals(this.#page), "the attacker's own page").toBe(true);
  }
}
