/** What a run of the lab found: the document `--json` prints and the table shows. */
import type { GuestReport } from './guest-report.js';
import type { Job } from './qemu.js';

/** The guest's side, with the device or without it. */
export interface GuestResult {
  /** Of the workload, by the guest's clock. */
  seconds: number;
  phase_seconds: Record<string, number>;
  /** Job files: sectors of 512 bytes read from the disk with the files, in each phase. */
  phase_sectors_read?: Record<string, number>;
  pages_checked: number;
  pages_corrupt: number;
  /** Requests that reached the guest's swap disk. */
  swap_disk_writes: number;
  swap_disk_reads: number;
  /** Lines of the guest kernel's log that say something went wrong. */
  log_complaints: string[];
}

/** What the front end in the guest counted: frontswap itself, or the swap device; pages. */
export interface FrontEndResult {
  succ_stores: number;
  failed_stores: number;
  loads: number;
  invalidates: number;
}

/** The service's side; pages, but for the two that say bytes. */
export interface ServiceResult {
  puts: number;
  gets: number;
  flushes: number;
  refused: number;
  same_filled: number;
  dedup: number;
  compressed: number;
  raw: number;
  /** All memory the store used for the pages below, its own included, while the workload held them. */
  stored_bytes: number;
  logical_bytes: number;
  /** What does not add up in the store; empty when its invariants hold. */
  invariants_violated: string;
}

/** How the driver talks to its device. An operation is a page put, got or flushed for a front end. */
export interface DriverResult {
  /** Stores that were reported as done before the service had them. */
  staged_stores: number;
  kicks_per_operation: number;
  interrupts_per_operation: number;
  /** Each operation's latency in the guest: within these nanoseconds, a power of two, half and 99 % of them took. */
  latency_ns: Record<string, { count: number; p50: number; p99: number }>;
}

const latencyKinds = ['put', 'staged_put', 'copy', 'get', 'flush'] as const;

/** The upper end of the histogram's bucket that `share` of the counts lie in or before. */
function quantile(buckets: [from: number, count: number][], share: number): number {
  const all = buckets.reduce((sum, [, count]) => sum + count, 0);
  let seen = 0;
  for (const [from, count] of buckets) {
    seen += count;
    if (seen >= all * share) return Math.max(1, from) * 2;
  }
  return 0;
}

export function driverResult(report: GuestReport): DriverResult {
  const grew = (name: string) => report.growth(`virtio_tmem_${name}`);
  const counted = [
    'succ_stores',
    'failed_stores',
    'loads',
    'invalidates',
    'clean_puts',
    'clean_hits',
    'clean_misses',
  ];
  const operations = counted.reduce((sum, name) => sum + grew(name), 0);
  const latencies = latencyKinds.map((kind) => {
    const buckets = Object.entries(report.growths(`latency_${kind}_`))
      .map(([from, count]): [number, number] => [Number(from), count])
      .filter(([from, count]) => count > 0 && Number.isInteger(from))
      .sort(([a], [b]) => a - b);
    const count = buckets.reduce((sum, [, value]) => sum + value, 0);
    return [kind, { count, p50: quantile(buckets, 0.5), p99: quantile(buckets, 0.99) }] as const;
  });
  return {
    staged_stores: grew('staged_stores'),
    kicks_per_operation: operations === 0 ? 0 : grew('kicks') / operations,
    interrupts_per_operation: operations === 0 ? 0 : grew('interrupts') / operations,
    latency_ns: Object.fromEntries(latencies.filter(([, { count }]) => count > 0)),
  };
}

/** What the pages of files met in the guest's driver. */
export interface CleancacheResult {
  clean_puts: number;
  clean_rejected: number;
  clean_dropped: number;
  clean_hits: number;
  clean_misses: number;
  clean_filtered: number;
}

export interface LabResult
  extends GuestResult,
    FrontEndResult,
    CleancacheResult,
    DriverResult,
    ServiceResult {
  kernel: string;
  personality: string;
  /** The guest's `uname -r`. */
  release: string;
  /** `none` where the guest swaps to a disk the service serves. */
  front_end: string;
  reserve_bytes: number;
  job: Job;
  accel: string;
  cpus: number;
  guest_memory_bytes: number;
  workload_bytes: number;
  seed: number;
  /** The same guest swapping to its disk alone. */
  baseline?: GuestResult;
  /** Job swap: seconds ÷ baseline.seconds; job files: the passes' */
  baseline_ratio?: number;
  /** Job files: the sectors read in the passes ÷ the baseline's. */
  baseline_sectors_ratio?: number;
}

/** @throws Error when the guest did not get as far as a result */
export function guestResult(report: GuestReport, logComplaints: string[]): GuestResult {
  if (report.failure !== undefined) throw new Error(`the guest could not do its work: ${report.failure}`);
  if (report.result === undefined) throw new Error('the guest gave no result');
  const { seconds, phase_seconds, phase_sectors_read, pages_checked, pages_corrupt } = report.result;
  return {
    seconds,
    phase_seconds,
    ...(phase_sectors_read && { phase_sectors_read }),
    pages_checked,
    pages_corrupt,
    swap_disk_writes: report.growth('swap_disk_writes'),
    swap_disk_reads: report.growth('swap_disk_reads'),
    log_complaints: logComplaints,
  };
}

export function cleancacheResult(report: GuestReport): CleancacheResult {
  return {
    clean_puts: report.growth('virtio_tmem_clean_puts'),
    clean_rejected: report.growth('virtio_tmem_clean_rejected'),
    clean_dropped: report.growth('virtio_tmem_clean_dropped'),
    clean_hits: report.growth('virtio_tmem_clean_hits'),
    clean_misses: report.growth('virtio_tmem_clean_misses'),
    clean_filtered: report.growth('virtio_tmem_clean_filtered'),
  };
}

/** The passes of job files that are counted, together. */
export function passes(guest: GuestResult): { seconds: number; sectorsRead: number } {
  const sum = (values: Record<string, number> = {}) =>
    Object.entries(values).reduce((all, [phase, value]) => all + (phase.startsWith('pass ') ? value : 0), 0);
  return { seconds: sum(guest.phase_seconds), sectorsRead: sum(guest.phase_sectors_read) };
}

/** What a result says against the one without the device. */
export function comparison(
  job: Job,
  guest: GuestResult,
  baseline: GuestResult,
): Pick<LabResult, 'baseline_ratio' | 'baseline_sectors_ratio'> {
  if (job === 'swap') return { baseline_ratio: guest.seconds / baseline.seconds };
  const [with_, without] = [passes(guest), passes(baseline)];
  return {
    baseline_ratio: with_.seconds / without.seconds,
    baseline_sectors_ratio: with_.sectorsRead / without.sectorsRead,
  };
}

export function frontEndResult(report: GuestReport): FrontEndResult {
  const counter = report.frontEnd === 'swap-device' ? 'virtio_tmem' : 'frontswap';
  return {
    succ_stores: report.growth(`${counter}_succ_stores`),
    failed_stores: report.growth(`${counter}_failed_stores`),
    loads: report.growth(`${counter}_loads`),
    invalidates: report.growth(`${counter}_invalidates`),
  };
}

/** Why a run did not pass, a line each; empty when it did. */
export function objections(result: LabResult): string[] {
  const found: string[] = [];
  for (const [name, guest] of [['', result] as const, ['baseline: ', result.baseline] as const]) {
    if (guest === undefined) continue;
    if (guest.pages_corrupt > 0)
      found.push(`${name}${guest.pages_corrupt} of ${guest.pages_checked} pages are corrupt`);
    if (guest.pages_checked === 0) found.push(`${name}no page was checked`);
    for (const complaint of guest.log_complaints) found.push(`${name}the guest's kernel says: ${complaint}`);
  }
  if (result.invariants_violated !== '')
    found.push(`the store does not add up: ${result.invariants_violated}`);
  if (result.puts === 0) found.push('no page was put into the service');
  return found;
}
