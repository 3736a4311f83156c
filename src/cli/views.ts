/** What `tmemd ctl` prints for a person: everything `xl tmem-list -l` showed, and more. */
import Table from 'cli-table3';
import type { PoolStatus } from '../admin/api.js';
import { formatSize, PAGE_BYTES } from '../config/quantity.js';
import type { GuestStatus } from '../guest/guest.js';
import type { DeviceCounters } from '../native/addon.js';
import type { OperationCounters, StoreCounters } from '../native/counters.js';

type Cell = string | number;

export function guestTable(guests: GuestStatus[]): string {
  const rows = guests.map(({ name, state, counters: c }) => [
    name,
    c.frozen ? `${state}, frozen` : state,
    c.weight,
    c.persistentPages,
    c.ephemeralPages,
    formatSize(c.chargedBytes),
    pagesOrNone(c.capPages),
    pagesOrNone(c.persistentLimitPages),
    formatSize(c.persistentReservePages * PAGE_BYTES),
    c.pools,
    of(c.putsGoodTotal, c.putsTotal),
    of(c.getsFoundTotal, c.getsTotal),
    of(c.flushesFoundTotal, c.flushesTotal),
  ]);
  const head = [
    'guest',
    'state',
    'weight',
    'persistent',
    'ephemeral',
    'charged',
    'cap',
    'limit',
    'reserve',
    'pools',
  ];
  return table([...head, 'puts good/all', 'gets found/all', 'flushed/flushes'], rows);
}

export function guestDetails(guest: GuestStatus): string {
  const { counters: c, device } = guest;
  const general: [string, Cell][] = [
    ['guest', guest.name],
    ['personality', guest.personality],
    ['state', c.frozen ? `${guest.state}, frozen` : guest.state],
    ['socket', guest.socket],
    ['front end', guest.peerPid === null ? 'none' : `process ${guest.peerPid}`],
    ['rings', guest.rings.map(ringText).join('; ') || 'none'],
    ['dedup group', guest.group ?? 'the guest alone'],
    ['weight', c.weight],
    ['cap', pagesOrNone(c.capPages)],
    ['limit', pagesOrNone(c.persistentLimitPages)],
    ['reserve', formatSize(c.persistentReservePages * PAGE_BYTES)],
    ['target', guest.targetPages === null ? 'none' : formatSize(guest.targetPages * PAGE_BYTES)],
    ['pools', `${c.pools} of ${guest.maxPools}`],
    ['request queues', guest.requestQueues],
    ['pages per request, at most', guest.maxPagesPerRequest],
    ['charged', formatSize(c.chargedBytes)],
    ['persistent pages', c.persistentPages],
    ['ephemeral pages', c.ephemeralPages],
  ];
  const connections: [string, Cell][] = [
    ['connections', guest.connectionsTotal],
    ['connections waiting', guest.connectionsWaiting],
    ['connections refused', guest.connectionsRefusedTotal],
    ['connections ended for a fault', guest.frontEndErrorsTotal],
    ['requests refused memory/ring/channel/other', Object.values(guest.requestsRefused).join('/')],
  ];
  return details([...general, ...operationRows(c), ...connections, ...(device ? deviceRows(device) : [])]);
}

export function poolTable(pools: PoolStatus[]): string {
  const columns: [string, (pool: PoolStatus) => Cell][] = [
    ['guest', (p) => p.guest],
    ['pool', (p) => p.pool],
    ['type', (p) => (p.persistent ? 'persistent' : 'ephemeral')],
    ['pages now/most', (p) => of(p.pages, p.pagesMax)],
    ['objects now/most', (p) => of(p.objects, p.objectsMax)],
    ['puts good/all', (p) => of(p.putsGoodTotal, p.putsTotal)],
    ['refused capacity/limit/cap/frozen', refusals],
    ['duplicates replaced/dropped', (p) => of(p.putsReplacedTotal, p.putsDroppedTotal)],
    ['gets found/all', (p) => of(p.getsFoundTotal, p.getsTotal)],
    ['corrupt', (p) => p.getsCorruptTotal],
    ['flushed/flushes', (p) => of(p.flushesFoundTotal, p.flushesTotal)],
    ['objects flushed/flushes', (p) => of(p.objectFlushesFoundTotal, p.objectFlushesTotal)],
    ['evicted', (p) => p.evictedTotal],
    ['same/shared/compressed/raw/damaged', forms],
  ];
  const rows = pools.map((pool) => columns.map(([, cell]) => cell(pool)));
  return table(
    columns.map(([head]) => head),
    rows,
  );
}

export function storeDetails(s: StoreCounters): string {
  return details([
    ['capacity', formatSize(s.capacityBytes)],
    ['used', `${formatSize(s.usedBytes)} (${percent(s.usedBytes, s.capacityBytes)})`],
    ['  data', formatSize(s.dataBytes)],
    ['  slack', formatSize(s.slackBytes)],
    ['  metadata', formatSize(s.metadataBytes)],
    ['in huge pages', formatSize(s.hugeBytes)],
    ['reserved', formatSize(s.reservedBytes)],
    ['held for guests', formatSize(s.logicalBytes)],
    ['pages compressed', s.lz4Pages],
    ['pages raw', s.rawPages],
    ['pages same-filled', s.sameFilledPages],
    ['pages deduplicated', s.dedupSavedPages],
    ['saved by deduplication', formatSize(s.dedupSavedBytes)],
    ['saved by same-filled pages', formatSize(s.sameFilledSavedBytes)],
    ['evicted pages', s.evictionsTotal],
    ['eviction attempts', s.evictionAttemptsTotal],
    ['corrupt pages', s.corruptTotal],
  ]);
}

function operationRows(c: OperationCounters): [string, Cell][] {
  return [
    ['pages now/most', of(c.pages, c.pagesMax)],
    ['objects now/most', of(c.objects, c.objectsMax)],
    ['puts good/all', of(c.putsGoodTotal, c.putsTotal)],
    ['refused capacity/limit/cap/frozen', refusals(c)],
    ['duplicates replaced/dropped', of(c.putsReplacedTotal, c.putsDroppedTotal)],
    [
      'gets found/missed/corrupt/all',
      of(c.getsFoundTotal, c.getsMissedTotal, c.getsCorruptTotal, c.getsTotal),
    ],
    ['pages flushed/flushes', of(c.flushesFoundTotal, c.flushesTotal)],
    ['objects flushed/flushes', of(c.objectFlushesFoundTotal, c.objectFlushesTotal)],
    ['evicted pages', c.evictedTotal],
    ['pages same/shared/compressed/raw/damaged', forms(c)],
  ];
}

function deviceRows(device: DeviceCounters): [string, Cell][] {
  const latencies = device.latency
    .map((histogram): [string, Cell] => {
      const count = histogram.counts.reduce((sum, each) => sum + each, 0);
      return [
        `${histogram.op} mean time`,
        count === 0 ? '-' : `${(histogram.sumNs / count / 1e3).toFixed(1)} µs`,
      ];
    })
    .filter(([, cell]) => cell !== '-');
  return [
    ['requests', device.requestsTotal],
    ['bad requests', device.badRequestsTotal],
    ['broken chains', device.brokenChainsTotal],
    ['kicks', device.kicksTotal],
    ['interrupts', device.interruptsTotal],
    ...latencies,
  ];
}

function refusals(c: OperationCounters): string {
  return of(
    c.putsRefusedCapacityTotal,
    c.putsRefusedLimitTotal,
    c.putsRefusedCapTotal,
    c.putsRefusedFrozenTotal,
  );
}

function forms(c: OperationCounters): string {
  return of(c.sameFilledPages, c.sharedPages, c.compressedPages, c.rawPages, c.damagedPages);
}

function ringText(ring: GuestStatus['rings'][number]): string {
  const state = ring.started ? (ring.enabled ? 'running' : 'disabled') : 'stopped';
  return `${ring.index}: ${ring.size} entries, ${state}`;
}

function of(...counts: number[]): string {
  return counts.join('/');
}

function percent(part: number, whole: number): string {
  return whole === 0 ? '-' : `${((100 * part) / whole).toFixed(1)} %`;
}

function pagesOrNone(pageCount: number): string {
  return pageCount === 0 ? 'none' : formatSize(pageCount * PAGE_BYTES);
}

/** No frame and no colour: columns for eyes and for awk. */
const borderless = {
  chars: Object.fromEntries(
    ['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right']
      .concat(['left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid'])
      .map((part) => [part, '']),
  ),
  style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
};

function table(head: string[], rows: Cell[][]): string {
  const lines = new Table({ ...borderless, chars: { ...borderless.chars, middle: '  ' }, head });
  lines.push(...rows);
  return trimmed(lines);
}

function details(rows: [string, Cell][]): string {
  const lines = new Table({ ...borderless, chars: { ...borderless.chars, middle: '  ' } });
  lines.push(...rows);
  return trimmed(lines);
}

function trimmed(lines: Table.Table): string {
  return lines.toString().replace(/ +$/gm, '');
}
