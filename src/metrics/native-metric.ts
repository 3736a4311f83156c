/**
 * A prom-client metric whose samples are read from elsewhere at the moment of
 * a scrape. prom-client's own Counter and Histogram are fed one event at a
 * time; ours are counted natively and arrive as totals and whole buckets.
 */
import type { Metric, Registry } from 'prom-client';
import type { LatencyHistogram } from '../native/addon.js';
import type { SoundSamples } from './sound-samples.js';

export type Labels = Partial<Record<'guest' | 'pool' | 'type' | 'op' | 'result', string>>;

export interface Sample {
  labels?: Labels;
  value: number;
  /** Set for the parts of a histogram: NAME_bucket, NAME_sum, NAME_count. */
  metricName?: string;
}

export function registerMetric(
  registry: Registry,
  type: 'counter' | 'gauge' | 'histogram',
  name: string,
  help: string,
  samples: () => Sample[],
  sound: SoundSamples,
): void {
  const metric = {
    name,
    help,
    get: async () => ({
      name,
      help,
      type,
      aggregator: 'sum',
      values: sound.of(name, samples()).map(({ labels = {}, ...sample }) => ({ labels, ...sample })),
    }),
  };
  // The registry calls nothing but get(); its types ask for the whole Metric class.
  registry.registerMetric(metric as unknown as Metric);
}

/** One native histogram as cumulative buckets in seconds. */
export function histogramSamples(
  name: string,
  labels: Labels,
  boundsNs: readonly number[],
  histogram: LatencyHistogram,
): Sample[] {
  let cumulative = 0;
  const buckets = histogram.counts.map((count, bucket) => {
    cumulative += count;
    const boundNs = boundsNs[bucket];
    const le = boundNs === undefined ? '+Inf' : String(boundNs / 1e9);
    return { metricName: `${name}_bucket`, labels: { ...labels, le } as Labels, value: cumulative };
  });
  return [
    ...buckets,
    { metricName: `${name}_sum`, labels, value: histogram.sumNs / 1e9 },
    { metricName: `${name}_count`, labels, value: cumulative },
  ];
}
