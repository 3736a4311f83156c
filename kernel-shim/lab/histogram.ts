/** Quantiles of histograms: of the guest's driver and of the service. */

/** So many of the values lie in [from, to). */
export interface Bucket {
  from: number;
  to: number;
  count: number;
}

/**
 * The value that `share` of the counted ones do not exceed, taken to lie evenly within a bucket.
 * @param buckets in ascending order
 * @returns 0 when nothing was counted
 */
export function quantile(buckets: readonly Bucket[], share: number): number {
  const wanted = buckets.reduce((sum, { count }) => sum + count, 0) * share;
  let seen = 0;
  for (const { from, to, count } of buckets) {
    if (count > 0 && seen + count >= wanted) return from + ((to - from) * (wanted - seen)) / count;
    seen += count;
  }
  return 0;
}

/** Buckets the driver's histograms have for each power of two, see vtmem_stats.h. */
const split = 8;

/** The driver's histogram, from how much each of its buckets, named by its lower end, was counted. */
export function driverBuckets(counts: Record<string, number>): Bucket[] {
  return Object.entries(counts)
    .map(([name, count]) => {
      const from = Number(name);
      const width = from < split ? 1 : 2 ** Math.floor(Math.log2(from)) / split;
      return { from, to: from + width, count };
    })
    .sort((a, b) => a.from - b.from);
}

/** The service's, from its upper ends; the last bucket has none. */
export function serviceBuckets(boundsNs: readonly number[], counts: readonly number[]): Bucket[] {
  return counts.map((count, i) => {
    const from = boundsNs[i - 1] ?? 0;
    return { from, to: boundsNs[i] ?? 2 * from, count };
  });
}
