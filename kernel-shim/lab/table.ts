/** A run's result for a person to read. */
import Table from 'cli-table3';
import type { GuestResult, LabResult } from './result.js';

/** No colours, no lines between rows. */
export const plain = {
  style: { head: [], border: [] },
  chars: { mid: '', 'left-mid': '', 'mid-mid': '', 'right-mid': '' },
};

/** `1234567` as `1,234,567`. */
export const count = (value: number): string => value.toLocaleString('en-US');

export const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

const microseconds = (ns: number): string => `${(ns / 1000).toFixed(1)} µs`;

const percent = (part: number, whole: number): string =>
  whole === 0 ? '–' : `${((100 * part) / whole).toFixed(1)} %`;

function pagesTable(result: LabResult): string {
  const held = result.same_filled + result.dedup + result.compressed + result.raw;
  const table = new Table({
    ...plain,
    head: ['the service', 'pages', ''],
    colAligns: ['left', 'right', 'left'],
  });
  table.push(
    ['put', count(result.puts), 'stored for the guest'],
    ['got', count(result.gets), 'given back'],
    ['flushed', count(result.flushes), 'no longer wanted'],
    ['refused', count(result.refused), 'went to the guest’s swap disk'],
    ['held at the end', count(held), `${mebibytes(result.logical_bytes)} of guest memory`],
    ['  same-filled', count(result.same_filled), percent(result.same_filled, held)],
    ['  deduplicated', count(result.dedup), percent(result.dedup, held)],
    ['  compressed', count(result.compressed), percent(result.compressed, held)],
    ['  raw', count(result.raw), percent(result.raw, held)],
    [
      'memory used',
      '',
      `${mebibytes(result.stored_bytes)}, ${percent(result.stored_bytes, result.logical_bytes)} of it`,
    ],
  );
  return table.toString();
}

function guestTable(result: LabResult): string {
  const { baseline } = result;
  const head = ['the guest', 'with tmemd', ...(baseline ? ['disk alone'] : [])];
  const table = new Table({ ...plain, head, colAligns: ['left', 'right', 'right'] });
  const row = (label: string, of: (guest: GuestResult) => string) => {
    table.push([label, of(result), ...(baseline ? [of(baseline)] : [])]);
  };
  row('pages checked', (guest) => count(guest.pages_checked));
  row('pages corrupt', (guest) => count(guest.pages_corrupt));
  row('swap disk writes', (guest) => count(guest.swap_disk_writes));
  row('swap disk reads', (guest) => count(guest.swap_disk_reads));
  for (const phase of Object.keys(result.phase_seconds)) {
    row(`${phase}, seconds`, (guest) => (guest.phase_seconds[phase] ?? 0).toFixed(1));
  }
  for (const phase of Object.keys(result.phase_sectors_read ?? {})) {
    row(`${phase}, MiB read from the disk`, (guest) => {
      return ((guest.phase_sectors_read?.[phase] ?? 0) / 2048).toFixed(1);
    });
  }
  row('in all, seconds', (guest) => guest.seconds.toFixed(1));
  return table.toString();
}

/** Everything the run found, as text of several lines. */
export function formatResult(result: LabResult): string {
  const stores = result.succ_stores + result.failed_stores;
  const asked = result.clean_hits + result.clean_misses;
  const lines = [
    `Linux ${result.release}, ${result.cpus} vCPU, ${mebibytes(result.guest_memory_bytes)} of memory, ` +
      `${mebibytes(result.workload_bytes)} touched, ${result.accel}, seed ${result.seed}`,
    pagesTable(result),
    guestTable(result),
    `${result.front_end}: ${count(result.succ_stores)} of ${count(stores)} stores taken (${percent(result.succ_stores, stores)}), ` +
      `${count(result.loads)} loads, ${count(result.invalidates)} invalidates`,
    `cleancache: ${count(result.clean_puts)} puts, ${count(result.clean_rejected)} not worth one, ` +
      `${count(result.clean_dropped)} dropped; ${count(result.clean_hits)} hits (${percent(result.clean_hits, asked)} of those asked), ` +
      `${count(result.clean_filtered)} misses without asking`,
    ...Object.entries(result.latency_ns).map(([kind, { count: all, p50, p99 }]) => {
      return `${kind}: ${count(all)}, half within ${microseconds(p50)}, 99 % within ${microseconds(p99)}`;
    }),
    `notifications: ${result.kicks_per_operation.toFixed(2)} an operation, interrupts: ${result.interrupts_per_operation.toFixed(3)}; ` +
      `${count(result.staged_stores)} stores were not waited for`,
    result.invariants_violated === ''
      ? 'store invariants: hold'
      : `store invariants: ${result.invariants_violated}`,
  ];
  if (result.baseline_ratio !== undefined) {
    lines.push(`time against the disk alone: ${result.baseline_ratio.toFixed(2)}`);
  }
  if (result.baseline_sectors_ratio !== undefined) {
    lines.push(`sectors read against the disk alone: ${result.baseline_sectors_ratio.toFixed(2)}`);
  }
  return lines.join('\n');
}
