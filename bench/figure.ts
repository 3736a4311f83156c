/** What every subcommand reports: named numbers, with what each was measured at. */
import { median } from './statistics.js';

/**
 * `name` ends in its unit: `_us` and `_ns` a page, `_bytes` a page, `_ratio`
 * against the arithmetic floor, `_share`. `at` is the point a figure belongs to
 * where several were measured: `{ depth: 64 }`, `{ held: 8000000 }`.
 */
export interface Figure {
  name: string;
  at: Record<string, number | string>;
  median: number;
  /** How far the chunks of all trials, or where there are none the trials, spread. */
  low: number;
  high: number;
}

/** Samples over time, each trial's at moments of its own: only the first trial's are kept, and no table shows them. */
export function isSeries(name: string): boolean {
  return name.startsWith('timeline_');
}

/** Adds to the points of figures, such as which peer they are of. */
export function at(point: Record<string, number | string>, figures: readonly Figure[]): Figure[] {
  return figures.map((figure) => ({ ...figure, at: { ...point, ...figure.at } }));
}

/** One number without a spread of its own. */
export function figure(name: string, value: number, point: Record<string, number | string> = {}): Figure {
  return { name, at: point, median: value, low: value, high: value };
}

/** Each figure's median over the trials; low and high over all of them. */
export function overTrials(trials: readonly (readonly Figure[])[]): Figure[] {
  const byPoint = new Map<string, Figure[]>();
  for (const one of trials.flat()) {
    const key = `${one.name} ${JSON.stringify(one.at)}`;
    byPoint.set(key, [...(byPoint.get(key) ?? []), one]);
  }
  return [...byPoint.values()].map((same) => ({
    name: same[0]?.name ?? '',
    at: same[0]?.at ?? {},
    median: rounded(median(same.map((one) => one.median))),
    low: rounded(Math.min(...same.map((one) => one.low))),
    high: rounded(Math.max(...same.map((one) => one.high))),
  }));
}

/** Five digits say all there is to say. */
function rounded(value: number): number {
  return Number(value.toPrecision(5));
}
