/** What a run of the lab found: the document `--json` prints and the table shows. */
import type { GuestReport } from './guest-report.js';
import type { FrontEnd } from './qemu.js';

/** The guest's side, with the device or without it. */
export interface GuestResult {
  /** Of the workload, by the guest's clock. */
  seconds: number;
  phase_seconds: Record<string, number>;
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

export interface LabResult extends GuestResult, FrontEndResult, ServiceResult {
  kernel: string;
  personality: string;
  /** The guest's `uname -r`. */
  release: string;
  front_end: FrontEnd;
  reserve_bytes: number;
  accel: string;
  cpus: number;
  guest_memory_bytes: number;
  workload_bytes: number;
  seed: number;
  /** The same guest swapping to its disk alone. */
  baseline?: GuestResult;
  /** seconds ÷ baseline.seconds */
  baseline_ratio?: number;
}

/** @throws Error when the guest did not get as far as a result */
export function guestResult(report: GuestReport, logComplaints: string[]): GuestResult {
  if (report.failure !== undefined) throw new Error(`the guest could not do its work: ${report.failure}`);
  if (report.result === undefined) throw new Error('the guest gave no result');
  const { seconds, phase_seconds, pages_checked, pages_corrupt } = report.result;
  return {
    seconds,
    phase_seconds,
    pages_checked,
    pages_corrupt,
    swap_disk_writes: report.growth('swap_disk_writes'),
    swap_disk_reads: report.growth('swap_disk_reads'),
    log_complaints: logComplaints,
  };
}

export function frontEndResult(report: GuestReport, frontEnd: FrontEnd): FrontEndResult {
  const counter = frontEnd === 'frontswap' ? 'frontswap' : 'virtio_tmem';
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
