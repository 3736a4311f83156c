/** What a victim noticed (victim-process.ts): how long it waited, alone and under attack, in histograms that add up. */

/** Counts by bucket; bucket b is from 1.02^b nanoseconds to below 1.02^(b + 1). */
export type Histogram = Record<number, number>;

export interface Measured {
  putNs: Histogram;
  getNs: Histogram;
  /** Of a question to the control plane. */
  askNs: Histogram;
  /** Requests that were not answered OK. */
  failures: number;
  /** Pages that were not what was put. */
  mismatches: number;
}

export interface Notice {
  alone: Measured;
  attacked: Measured;
}

const GROWTH = Math.log(1.02);

export function note(histogram: Histogram, ns: number, times = 1): void {
  const bucket = Math.floor(Math.log(Math.max(1, ns)) / GROWTH);
  histogram[bucket] = (histogram[bucket] ?? 0) + times;
}

const emptyMeasured = (): Measured => ({ putNs: {}, getNs: {}, askNs: {}, failures: 0, mismatches: 0 });

export const emptyNotice = (): Notice => ({ alone: emptyMeasured(), attacked: emptyMeasured() });

export function addNotice(to: Notice, more: Notice): void {
  for (const phase of ['alone', 'attacked'] as const) {
    for (const what of ['putNs', 'getNs', 'askNs'] as const) {
      for (const [bucket, count] of Object.entries(more[phase][what])) {
        to[phase][what][Number(bucket)] = (to[phase][what][Number(bucket)] ?? 0) + count;
      }
    }
    to[phase].failures += more[phase].failures;
    to[phase].mismatches += more[phase].mismatches;
  }
}

export function count(histogram: Histogram): number {
  return Object.values(histogram).reduce((sum, each) => sum + each, 0);
}

/** Nanoseconds, the bucket's upper end; NaN of nothing. */
export function quantileNs(histogram: Histogram, part: number): number {
  let left = count(histogram) * part;
  for (const [bucket, times] of Object.entries(histogram).sort(([a], [b]) => Number(a) - Number(b))) {
    left -= times;
    if (left <= 0) return Math.exp((Number(bucket) + 1) * GROWTH);
  }
  return Number.NaN;
}
