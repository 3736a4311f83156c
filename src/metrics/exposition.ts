/**
 * What Prometheus sees. Base units, `_total` for counters, and no labels but
 * guest, pool, type, op and result.
 *
 * Counters exist per guest and for the store only: those outlive sessions and
 * pools and never go back. Pool ids start again with every session, so a
 * pool's counters are left to the admin API and only gauges carry the label.
 *
 * Each scrape takes one snapshot that all its samples are read from. What cannot
 * be a value is left out of it, counted and logged (sound-samples.ts).
 */
import type { Logger } from 'pino';
import { Registry } from 'prom-client';
import { PAGE_BYTES } from '../config/quantity.js';
import type { Guest, GuestStatus } from '../guest/guest.js';
import type { NativeStore } from '../native/addon.js';
import type { GuestCounters, PoolCounters, StoreCounters } from '../native/counters.js';
import { histogramSamples, registerMetric, type Sample } from './native-metric.js';
import { SoundSamples } from './sound-samples.js';

interface Snapshot {
  store: StoreCounters;
  guests: { status: GuestStatus; pools: PoolCounters[] }[];
}

type Current = () => Snapshot;
type Register = (
  type: 'counter' | 'gauge' | 'histogram',
  name: string,
  help: string,
  samples: () => Sample[],
) => void;

export class Exposition {
  readonly #registry = new Registry();
  readonly #take: Current;
  #snapshot: Snapshot;

  constructor(store: NativeStore, guests: ReadonlyMap<string, Guest>, log: Logger) {
    const sound = new SoundSamples((metric, sample) =>
      log.error({ metric, sample }, 'a value that cannot be is left out of the metrics'),
    );
    const register: Register = (type, name, help, samples) =>
      registerMetric(this.#registry, type, name, help, samples, sound);
    this.#take = () => ({
      store: store.counters(),
      guests: [...guests.values()].map((guest) => ({ status: guest.status(), pools: guest.pools() })),
    });
    this.#snapshot = this.#take();
    const current = () => this.#snapshot;
    registerStore(register, current);
    registerGuestCounters(register, current);
    registerGuestGauges(register, current);
    registerDevices(register, current);
    registerPools(register, current);
    registerProcess(register);
    // The last, so that it counts what this very scrape left out.
    register('counter', 'tmemd_metrics_bad_values_total', 'Values left out because they cannot be.', () => [
      { value: sound.badTotal },
    ]);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** Prometheus' text format, as of now. */
  text(): Promise<string> {
    this.#snapshot = this.#take();
    return this.#registry.metrics();
  }
}

function registerStore(register: Register, current: Current): void {
  const add = (type: 'counter' | 'gauge', name: string, help: string, key: keyof StoreCounters) =>
    register(type, `tmemd_store_${name}`, help, () => [{ value: current().store[key] }]);
  const addByType = (name: string, help: string, keys: Record<string, keyof StoreCounters>) =>
    register('gauge', `tmemd_store_${name}`, help, () =>
      Object.entries(keys).map(([type, key]) => ({ labels: { type }, value: current().store[key] })),
    );
  add('gauge', 'capacity_bytes', 'Hard capacity: data, slack and metadata.', 'capacityBytes');
  addByType('used_bytes', 'Memory in use by kind; the sum never exceeds the capacity.', {
    data: 'dataBytes',
    slack: 'slackBytes',
    metadata: 'metadataBytes',
  });
  add('gauge', 'huge_page_bytes', 'Of the memory in use, what lies in huge pages.', 'hugeBytes');
  add('gauge', 'reserved_bytes', 'Set aside for reserves, used or not.', 'reservedBytes');
  add('gauge', 'logical_bytes', 'Pages held at their full size, before any saving.', 'logicalBytes');
  addByType('pages', 'Pages stored by form.', {
    lz4: 'lz4Pages',
    raw: 'rawPages',
    same_filled: 'sameFilledPages',
    deduplicated: 'dedupSavedPages',
  });
  addByType('saved_bytes', 'Memory saved beyond compression.', {
    dedup: 'dedupSavedBytes',
    same_filled: 'sameFilledSavedBytes',
  });
  add('counter', 'evictions_total', 'Ephemeral pages evicted.', 'evictionsTotal');
  add('counter', 'eviction_attempts_total', 'Attempts to evict.', 'evictionAttemptsTotal');
  add('counter', 'corrupt_pages_total', 'Pages that failed their integrity check.', 'corruptTotal');
}

/** For each guest, the samples `of` makes of its status. */
function perGuest({ guests }: Snapshot, of: (status: GuestStatus) => Sample[]): Sample[] {
  return guests.flatMap(({ status }) =>
    of(status).map((sample) => ({ ...sample, labels: { guest: status.name, ...sample.labels } })),
  );
}

type CounterKeys = Record<string, keyof GuestCounters>;

function byLabel(label: 'result' | 'type', keys: CounterKeys) {
  return ({ counters }: GuestStatus): Sample[] =>
    Object.entries(keys).map(([value, key]) => ({ labels: { [label]: value }, value: counters[key] }));
}

function registerGuestCounters(register: Register, current: Current): void {
  const add = (name: string, help: string, of: (status: GuestStatus) => Sample[]) =>
    register('counter', `tmemd_guest_${name}`, help, () => perGuest(current(), of));
  add(
    'puts_total',
    'Valid puts of a page by outcome.',
    byLabel('result', {
      good: 'putsGoodTotal',
      refused_capacity: 'putsRefusedCapacityTotal',
      refused_limit: 'putsRefusedLimitTotal',
      refused_cap: 'putsRefusedCapTotal',
      refused_frozen: 'putsRefusedFrozenTotal',
    }),
  );
  add(
    'duplicate_puts_total',
    'Puts on a key that held a page: replaced, or dropped because the put was refused.',
    byLabel('result', { replaced: 'putsReplacedTotal', dropped: 'putsDroppedTotal' }),
  );
  add(
    'gets_total',
    'Gets of a page by outcome.',
    byLabel('result', { found: 'getsFoundTotal', missed: 'getsMissedTotal', corrupt: 'getsCorruptTotal' }),
  );
  const plain: [name: string, help: string, key: keyof GuestCounters][] = [
    ['flushes_total', 'Requests to flush pages.', 'flushesTotal'],
    ['flushed_pages_total', 'Pages flushed that were there.', 'flushesFoundTotal'],
    ['object_flushes_total', 'Requests to flush an object.', 'objectFlushesTotal'],
    ['object_flushes_found_total', 'Requests to flush an object that was there.', 'objectFlushesFoundTotal'],
    ['evicted_pages_total', 'Ephemeral pages dropped for room.', 'evictedTotal'],
  ];
  for (const [name, help, key] of plain) add(name, help, ({ counters }) => [{ value: counters[key] }]);
  add('connections_total', 'Front ends served.', (status) => [{ value: status.connectionsTotal }]);
  add('connections_refused_total', 'Connections refused while another was served.', (status) => [
    { value: status.connectionsRefusedTotal },
  ]);
  add(
    'requests_refused_total',
    'Requests of front ends refused, by what they were about.',
    ({ requestsRefused }) =>
      Object.entries(requestsRefused).map(([type, value]) => ({ labels: { type }, value })),
  );
  add('front_end_errors_total', 'Connections ended for a fault.', (status) => [
    { value: status.frontEndErrorsTotal },
  ]);
}

function registerGuestGauges(register: Register, current: Current): void {
  const add = (name: string, help: string, of: (status: GuestStatus) => Sample[]) =>
    register('gauge', `tmemd_guest_${name}`, help, () => perGuest(current(), of));
  add(
    'pages',
    'Pages held.',
    byLabel('type', { persistent: 'persistentPages', ephemeral: 'ephemeralPages' }),
  );
  add(
    'stored_pages',
    'Pages held by form; a shared page is a reference to another key.',
    byLabel('type', {
      same_filled: 'sameFilledPages',
      shared: 'sharedPages',
      compressed: 'compressedPages',
      raw: 'rawPages',
      damaged: 'damagedPages',
    }),
  );
  const plain: [name: string, help: string, value: (status: GuestStatus) => number][] = [
    ['objects', 'Objects held.', ({ counters }) => counters.objects],
    ['pools', 'Pools held.', ({ counters }) => counters.pools],
    ['charged_bytes', 'What its pages would cost stored alone.', ({ counters }) => counters.chargedBytes],
    ['weight', 'Share of ephemeral memory under eviction.', ({ counters }) => counters.weight],
    [
      'cap_bytes',
      'Most memory held, as pages; 0: none set.',
      ({ counters }) => counters.capPages * PAGE_BYTES,
    ],
    [
      'reserve_bytes',
      'Persistent pages that cannot be refused.',
      ({ counters }) => counters.persistentReservePages * PAGE_BYTES,
    ],
    [
      'limit_bytes',
      'Most persistent pages; 0: none set.',
      ({ counters }) => counters.persistentLimitPages * PAGE_BYTES,
    ],
    ['frozen', '1 while puts beyond the reserve are refused.', ({ counters }) => counters.frozen],
    ['running', '1 while a driver runs its rings.', ({ state }) => (state === 'running' ? 1 : 0)],
  ];
  for (const [name, help, value] of plain) add(name, help, (status) => [{ value: value(status) }]);
}

function registerDevices(register: Register, current: Current): void {
  const add = (name: string, help: string, of: (device: NonNullable<GuestStatus['device']>) => Sample[]) =>
    register('counter', `tmemd_device_${name}`, help, () =>
      perGuest(current(), ({ device }) => (device ? of(device) : [])),
    );
  add(
    'requests_total',
    'Requests by outcome: answered, refused as malformed, too broken to answer.',
    (device) => [
      {
        labels: { result: 'answered' },
        // The three are read one after the other, while they grow.
        value: Math.max(0, device.requestsTotal - device.badRequestsTotal - device.brokenChainsTotal),
      },
      { labels: { result: 'bad_request' }, value: device.badRequestsTotal },
      { labels: { result: 'broken_chain' }, value: device.brokenChainsTotal },
    ],
  );
  add('kicks_total', 'Notifications from the guest.', (device) => [{ value: device.kicksTotal }]);
  add('interrupts_total', 'Notifications to the guest.', (device) => [{ value: device.interruptsTotal }]);
  const name = 'tmemd_device_request_duration_seconds';
  register('histogram', name, 'Time from taking a request off its ring to its answer.', () =>
    perGuest(current(), ({ device, name: guest }) =>
      (device?.latency ?? []).flatMap((histogram) =>
        histogramSamples(name, { guest, op: histogram.op }, device?.latencyBoundsNs ?? [], histogram),
      ),
    ),
  );
}

function registerPools(register: Register, current: Current): void {
  const add = (name: string, help: string, key: 'pages' | 'objects') =>
    register('gauge', `tmemd_pool_${name}`, help, () =>
      current().guests.flatMap(({ status, pools }) =>
        pools.map((pool) => ({
          labels: {
            guest: status.name,
            pool: String(pool.pool),
            type: pool.persistent ? 'persistent' : 'ephemeral',
          },
          value: pool[key],
        })),
      ),
    );
  add('pages', 'Pages held.', 'pages');
  add('objects', 'Objects held.', 'objects');
}

function registerProcess(register: Register): void {
  const startSeconds = Date.now() / 1e3 - process.uptime();
  register('gauge', 'process_start_time_seconds', 'Start time since the epoch.', () => [
    { value: startSeconds },
  ]);
  register('counter', 'process_cpu_seconds_total', 'User and system time.', () => {
    const { user, system } = process.cpuUsage();
    return [{ value: (user + system) / 1e6 }];
  });
  register('gauge', 'process_resident_memory_bytes', 'Resident memory.', () => [
    { value: process.memoryUsage.rss() },
  ]);
}
