/** A guest with a fake store and devices behind it, and a listener whose front ends are connections in memory. */
import { pino } from 'pino';
import { vi } from 'vitest';
import type { GuestConfig } from '../../../src/config/config.js';
import { Guest } from '../../../src/guest/guest.js';
import type {
  DeviceOptions,
  FdConnection,
  FdListener,
  NativeAddon,
  NativeStore,
} from '../../../src/native/addon.js';
import { OFFERED_FEATURES, OFFERED_PROTOCOL_FEATURES } from '../../../src/vhost-user/requests.js';
import { codedError, FakeConnection, FdLedger, message, u32, u64 } from './front-end.js';
import { FakeDevice, FakeStore } from './native.js';

export class FakeListener implements FdListener {
  #queue: FdConnection[] = [];
  #failure: Error | undefined;
  #pending: { resolve: (c: FdConnection) => void; reject: (e: Error) => void } | undefined;

  connect(): FakeConnection {
    const connection = new FakeConnection();
    if (this.#pending) this.#pending.resolve(connection);
    else this.#queue.push(connection);
    this.#pending = undefined;
    return connection;
  }
  accept(): Promise<FdConnection> {
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure) return Promise.reject(failure);
    const queued = this.#queue.shift();
    if (queued) return Promise.resolve(queued);
    return new Promise((resolve, reject) => {
      this.#pending = { resolve, reject };
    });
  }
  /** The accept under way, or the next one. */
  fail(code: string): void {
    if (this.#pending) this.#pending.reject(codedError(code));
    else this.#failure = codedError(code);
    this.#pending = undefined;
  }
  close(): void {
    this.fail('TMEMD_CLOSED');
  }
}

export const fakeConfig: GuestConfig = {
  name: 'web',
  endpoint: { path: '/s/web.sock', mode: 0o600 },
  weight: 100,
  capPages: 0,
  reservePages: 10,
  limitPages: 0,
  frozen: false,
  requestQueueCount: 1,
  maxPools: 64,
  orphanTimeoutMs: 0,
  silenceTimeoutMs: 10_000,
  maxPagesPerRequest: 64,
  memoryMapBytesMax: 2 ** 40,
  memoryRegionsMax: 32,
};

export function rig(overrides: Partial<GuestConfig> = {}) {
  const store = new FakeStore();
  const ledger = new FdLedger();
  const devices: FakeDevice[] = [];
  const backend = new FakeConnection();
  let refusal: Error | undefined;
  let mapping: Promise<void> | undefined;
  const log: Record<string, unknown>[] = [];
  const native = {
    Device: class extends FakeDevice {
      constructor(_store: NativeStore, _guest: number, options: DeviceOptions) {
        super(ledger, options.onEvent);
        this.refuseNext = refusal;
        refusal = undefined;
        this.mapping = mapping;
        devices.push(this);
      }
    },
    closeFds: ledger.closeAll,
    descriptorKind: ledger.kindOf,
    adoptSocket: (fd: number) => {
      ledger.release(fd);
      return { connection: backend };
    },
  } as unknown as NativeAddon;
  const logger = pino(
    { level: 'debug', base: null },
    { write: (line: string) => log.push(JSON.parse(line)) },
  );
  const guest = new Guest({ ...fakeConfig, ...overrides }, native, store, logger);
  const listener = new FakeListener();
  const served = guest.serve({ listener });
  return {
    store,
    ledger,
    devices,
    backend,
    log,
    guest,
    listener,
    served,
    /** The next device to be opened refuses the first memory it is given. */
    refuseNextMemory: () => {
      refusal = codedError('TMEMD_FRONT_END');
    },
    /** Devices opened from now on do not come to an end of mapping memory. */
    neverMap: () => {
      mapping = new Promise(() => {});
    },
    mapAgain: () => {
      mapping = undefined;
    },
  };
}

export function logged(log: Record<string, unknown>[], text: string) {
  return log.filter(({ msg }) => msg === text);
}

export function negotiate(connection: FakeConnection): void {
  connection.send(message(16, u64(OFFERED_PROTOCOL_FEATURES)));
  connection.send(message(3));
  connection.send(message(2, u64(OFFERED_FEATURES)));
}

/** Takes the device. */
export function giveMemory(connection: FakeConnection, ledger: FdLedger): void {
  connection.send(message(5, Buffer.concat([u32(1, 0), u64(0, 4096, 0, 0)])), [ledger.open()]);
}

export function startRing(connection: FakeConnection): void {
  connection.send(message(8, u32(0, 64)));
  connection.send(message(9, Buffer.concat([u32(0, 0), u64(0, 0, 0, 0)])));
  connection.send(message(12, u64(0x100)));
}

/** A front end that has the device. */
export async function connected({ listener, ledger }: ReturnType<typeof rig>): Promise<FakeConnection> {
  const connection = listener.connect();
  negotiate(connection);
  giveMemory(connection, ledger);
  await connection.idle();
  return connection;
}

/** Lets everything that waits for nothing but its turn run. The clocks are fake. */
export const turns = () => vi.advanceTimersByTimeAsync(0);
