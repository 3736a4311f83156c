/** Medians and spreads of repeated measurements. */

/** The value a share `q` of the sorted values lies below. Throws on no values. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const value = sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];
  if (value === undefined) throw new RangeError('no values');
  return value;
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** A median and how far the middle four fifths reach. */
export interface Spread {
  median: number;
  low: number;
  high: number;
}

export function spread(values: readonly number[]): Spread {
  return { median: median(values), low: quantile(values, 0.1), high: quantile(values, 0.9) };
}

/** Of `subject[i] / floor[i]`: neighbours in time, so that both saw the same machine. */
export function pairwiseRatio(subject: readonly number[], floor: readonly number[]): Spread {
  return spread(subject.map((value, index) => value / (floor[index] ?? Number.NaN)));
}
