/** What a comparison has to reach, and whether it does. */
import { median } from '../../bench/statistics.js';
import type { WayOutcome } from './compare.js';
import type { Job } from './qemu.js';
import { type LabResult, passes } from './result.js';
import { notWaitedFor, type WayRun, waitedFor } from './ways.js';

export interface Bar {
  what: string;
  unit: '' | 'µs' | '×';
  /** Medians over the trials. */
  reached: number;
  atMost: number;
  met: boolean;
}

function bar(what: string, unit: Bar['unit'], reached: number, atMost: number): Bar {
  return { what, unit, reached, atMost, met: reached <= atMost };
}

/** The median over the trials of something about one way. */
type Middle = (of: (result: LabResult) => number) => number;

function middleOf(runs: ReadonlyMap<string, readonly WayRun[]>, way: string): Middle {
  const results = (runs.get(way) ?? []).flatMap(({ result }) => (result ? [result] : []));
  return (of) => median(results.map(of));
}

const p50Us = (kind: string) => (result: LabResult) => (result.latency_ns[kind]?.p50 ?? Number.NaN) / 1000;

function swapBars(outcomes: readonly WayOutcome[], runs: ReadonlyMap<string, readonly WayRun[]>): Bar[] {
  const [waited, not] = [middleOf(runs, waitedFor), middleOf(runs, notWaitedFor)];
  const copyUs = not(p50Us('copy'));
  const storeUs = waited((result) => result.service_put_p50_ns / 1000);
  const elapsed = outcomes.find(({ way }) => way === notWaitedFor)?.ratio.median ?? Number.NaN;
  return [
    bar('elapsed, stores not waited for, to the disk with cache=none', '×', elapsed, 1),
    bar('store not waited for, p50, to twice its copy', 'µs', not(p50Us('staged_put')), 2 * copyUs),
    bar(
      'store waited for, p50, to a get that misses and twice copy and store’s work',
      'µs',
      waited(p50Us('put')),
      waited(p50Us('round_trip')) + 2 * (copyUs + storeUs),
    ),
    ...([waited, not] as const).flatMap((middle, i) => [
      bar(
        `kicks an operation, ${i === 0 ? '' : 'not '}waited for`,
        '',
        middle((r) => r.kicks_per_operation),
        1,
      ),
      bar(
        `interrupts an operation, ${i === 0 ? '' : 'not '}waited for`,
        '',
        middle((r) => r.interrupts_per_operation),
        0.1,
      ),
    ]),
  ];
}

/** @param runs every run, by its way's name, in the order of the outcomes */
export function barsOf(
  job: Job,
  outcomes: readonly WayOutcome[],
  runs: ReadonlyMap<string, readonly WayRun[]>,
): Bar[] {
  const [without = [], with_ = []] = [...runs.values()];
  if (job === 'swap') return swapBars(outcomes, runs);
  if (job === 'files') {
    const sectors = with_.map(
      ({ guest }, i) => passes(guest).sectorsRead / passes((without[i] ?? { guest }).guest).sectorsRead,
    );
    return [
      bar('sectors read', '×', median(sectors), 0.35),
      bar('elapsed', '×', outcomes[1]?.ratio.median ?? Number.NaN, 1),
    ];
  }
  const most = (of: (result: LabResult) => number) =>
    Math.max(...with_.map(({ result }) => (result ? of(result) : Number.NaN)));
  return [
    bar(
      'requests the job caused',
      '',
      most((r) => r.page_requests + r.kicks),
      0,
    ),
    bar(
      'interrupts the job caused',
      '',
      most((r) => r.interrupts),
      0,
    ),
  ];
}
