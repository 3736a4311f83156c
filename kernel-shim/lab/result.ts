/** What a run of the lab found: the document `--json` prints and the table shows. */
import type { GuestReport } from './guest-report.js';
import { driverBuckets, quantile } from './histogram.js';
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

/** The service's side; pages where nothing else is said. */
export interface ServiceResult {
  /** Puts, gets and flushes the guest had asked for when the workload held its memory; one is for one page or several. */
  page_requests: number;
  /** What half of the put requests did not exceed, from ring to ring. */
  service_put_p50_ns: number;
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
  kicks: number;
  interrupts: number;
  kicks_per_operation: number;
  interrupts_per_operation: number;
  /** Each operation's latency in the guest, as half and 99 % of them did not exceed it. */
  latency_ns: Record<string, { count: number; p50: number; p99: number }>;
}

const latencyKinds = ['put', 'staged_put', 'copy', 'get', 'round_trip', 'flush'] as const;

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
    const buckets = driverBuckets(report.growths(`latency_${kind}_`));
    const count = buckets.reduce((sum, bucket) => sum + bucket.count, 0);
    return [kind, { count, p50: quantile(buckets, 0.5), p99: quantile(buckets, 0.99) }] as const;
  });
  const [kicks, interrupts] = [grew('kicks'), grew('interrupts')];
  return {
    staged_stores: grew('staged_stores'),
    kicks,
    interrupts,
    kicks_per_operation: operations === 0 ? 0 : kicks / operations,
    interrupts_per_operation: operations === 0 ? 0 : interrupts / operations,
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
  /** Seconds ÷ baseline.seconds; job files: the passes' */
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
  if (job !== 'files') return { baseline_ratio: guest.seconds / baseline.seconds };
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

/** Why a guest's run did not pass, a line each; empty when it did. */
export function guestObjections(guest: GuestResult): string[] {
  const found = guest.log_complaints.map((complaint) => `the guest's kernel says: ${complaint}`);
  if (guest.pages_corrupt > 0)
    found.unshift(`${guest.pages_corrupt} of ${guest.pages_checked} pages are corrupt`);
  if (guest.pages_checked === 0) found.unshift('no page was checked');
  return found;
}

/** The same, the service and the run it is compared with included. */
export function objections(result: LabResult): string[] {
  const found = guestObjections(result);
  if (result.baseline) found.push(...guestObjections(result.baseline).map((text) => `baseline: ${text}`));
  if (result.invariants_violated !== '')
    found.push(`the store does not add up: ${result.invariants_violated}`);
  if (result.puts === 0 && result.job !== 'cpu') found.push('no page was put into the service');
  return found;
}
