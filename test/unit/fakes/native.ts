/** The native parts, faked: they record what they were told and own the descriptors they were given. */

import type {
  DeviceCounters,
  DeviceEvent,
  GuestOptions,
  GuestTuning,
  MemoryRegion,
  NativeDevice,
  NativeStore,
  VringSetup,
} from '../../../src/native/addon.js';
import type {
  GuestCounters,
  OperationCounters,
  PoolCounters,
  StoreCounters,
} from '../../../src/native/counters.js';
import { guestGaugeNames, operationCounterNames, storeGaugeNames } from '../../../src/native/counters.js';
import type { FdLedger } from './front-end.js';

export function zeroDeviceCounters(): DeviceCounters {
  return {
    requestsTotal: 0,
    badRequestsTotal: 0,
    brokenChainsTotal: 0,
    kicksTotal: 0,
    interruptsTotal: 0,
    latencyBoundsNs: [1000, 10_000],
    latency: [
      { op: 'put', counts: [0, 0, 0], sumNs: 0 },
      { op: 'get', counts: [0, 0, 0], sumNs: 0 },
    ],
  };
}

export class FakeDevice implements NativeDevice {
  readonly calls: [name: string, ...args: unknown[]][] = [];
  readonly ledger: FdLedger;
  readonly onEvent: (event: DeviceEvent) => void;
  /** Rejects the next call with this. */
  refuseNext: Error | undefined;
  /** What mapping memory waits for. */
  mapping: Promise<void> | undefined;
  lastAvailableIndex = 77;
  closedTimes = 0;
  totals = zeroDeviceCounters();

  constructor(ledger: FdLedger, onEvent: (event: DeviceEvent) => void) {
    this.ledger = ledger;
    this.onEvent = onEvent;
  }

  async #record(name: string, args: unknown[], fds: (number | undefined)[] = []): Promise<void> {
    for (const fd of fds) if (fd !== undefined) this.ledger.release(fd);
    this.calls.push([name, ...args]);
    const refusal = this.refuseNext;
    this.refuseNext = undefined;
    if (refusal) throw refusal;
  }

  async setMemoryTable(regions: MemoryRegion[]): Promise<void> {
    await this.#record(
      'setMemoryTable',
      [regions],
      regions.map(({ fd }) => fd),
    );
    await this.mapping;
  }
  addMemoryRegion = (region: MemoryRegion) => this.#record('addMemoryRegion', [region], [region.fd]);
  removeMemoryRegion = (region: object) => this.#record('removeMemoryRegion', [region]);
  startVring = (setup: VringSetup) => this.#record('startVring', [setup], [setup.kickFd, setup.callFd]);
  enableVring = (queueIndex: number, enabled: boolean) => this.#record('enableVring', [queueIndex, enabled]);
  setKickFd = (queueIndex: number, fd: number | undefined) =>
    this.#record('setKickFd', [queueIndex, fd], [fd]);
  setCallFd = (queueIndex: number, fd: number | undefined) =>
    this.#record('setCallFd', [queueIndex, fd], [fd]);
  async stopVring(queueIndex: number): Promise<number> {
    await this.#record('stopVring', [queueIndex]);
    return this.lastAvailableIndex;
  }
  /** Of setLimitAndTarget. */
  told: [limitPages: bigint, targetPages: bigint][] = [];
  setLimitAndTarget = (limitPages: bigint, targetPages: bigint) =>
    void this.told.push([limitPages, targetPages]);
  counters = () => structuredClone(this.totals);
  async close(): Promise<void> {
    this.closedTimes += 1;
  }

  names(): string[] {
    return this.calls.map(([name]) => name);
  }
}

function zeros<K extends string>(names: readonly K[]): Record<K, number> {
  return Object.fromEntries(names.map((name) => [name, 0])) as Record<K, number>;
}

export const zeroOperations = (): OperationCounters => zeros(operationCounterNames);
export const zeroStore = (): StoreCounters => zeros(storeGaugeNames);

export class FakeStore implements NativeStore {
  readonly guests: { options: GuestOptions; counters: GuestCounters; pools: PoolCounters[] }[] = [];
  totals: StoreCounters;
  problem = '';
  closed = false;
  droppedTimes = 0;
  /** What a drop waits for. */
  dropGate: Promise<void> = Promise.resolve();

  constructor(options: { capacityBytes: number } = { capacityBytes: 2 ** 30 }) {
    this.totals = { ...zeroStore(), capacityBytes: options.capacityBytes };
  }

  addGuest(options: GuestOptions): number {
    const counters = {
      ...zeroOperations(),
      ...zeros(guestGaugeNames),
      weight: options.weight ?? 100,
      capPages: options.capPages ?? 0,
      persistentReservePages: options.persistentReservePages ?? 0,
      persistentLimitPages: options.persistentLimitPages ?? 0,
      frozen: options.frozen ? 1 : 0,
    };
    return this.guests.push({ options, counters, pools: [] }) - 1;
  }
  unclaimedGuests = () => [];
  async removeGuest(): Promise<void> {}
  updateGuest(guest: number, tuning: GuestTuning): void {
    const { frozen, ...numbers } = tuning;
    Object.assign(this.guest(guest).counters, numbers);
    if (frozen !== undefined) this.guest(guest).counters.frozen = frozen ? 1 : 0;
  }
  async dropPools(guest: number): Promise<void> {
    await this.dropGate;
    this.droppedTimes += 1;
    Object.assign(this.guest(guest).counters, { pages: 0, pools: 0 });
    this.guest(guest).pools = [];
  }
  guest(guest: number) {
    const found = this.guests[guest];
    if (!found) throw new Error(`no guest ${guest}`);
    return found;
  }
  counters = () => ({ ...this.totals });
  guestCounters = (guest: number) => ({ ...this.guest(guest).counters });
  poolCounters = (guest: number) => [...this.guest(guest).pools];
  checkInvariants = async () => this.problem;
  close(): void {
    this.closed = true;
  }
}
