/**
 * What keeps a value that cannot be out of the exposition. A counter that shows NaN once is NaN to every rate() over
 * it, an undefined label names a series "undefined", and prom-client writes down both. So a sample that is not a
 * finite number from 0 to 2^53, or has a label without text, is left out, and with it the rest of its histogram: a
 * series that is missing for one scrape does no harm. It is counted, and said once for each metric.
 */
import type { Sample } from './native-metric.js';

/** A counter that went below zero in 64 bits lies far above what a number holds exactly. */
export function isSound(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value <= Number.MAX_SAFE_INTEGER;
}

export class SoundSamples {
  readonly #onBad: (metric: string, sample: string) => void;
  readonly #said = new Set<string>();
  /** Values left out so far. */
  badTotal = 0;

  /** @param onBad called once a metric */
  constructor(onBad: (metric: string, sample: string) => void) {
    this.#onBad = onBad;
  }

  of(metric: string, samples: Sample[]): Sample[] {
    const bad = samples.filter((sample) => !isSound(sample.value) || !hasSoundLabels(sample));
    for (const sample of bad) this.report(metric, sample);
    if (bad.length === 0) return samples;
    const spoilt = new Set(bad.map(histogramOf));
    return samples.filter((sample) => {
      const histogram = histogramOf(sample);
      return histogram === undefined ? !bad.includes(sample) : !spoilt.has(histogram);
    });
  }

  report(metric: string, sample: unknown): void {
    this.badTotal += 1;
    if (this.#said.has(metric)) return;
    this.#said.add(metric);
    this.#onBad(metric, textOf(sample));
  }
}

function hasSoundLabels({ labels = {} }: Sample): boolean {
  return Object.values(labels).every((label) => typeof label === 'string' && label !== '');
}

/** Which histogram a sample is a part of; undefined: of none. */
function histogramOf({ metricName, labels = {} }: Sample): string | undefined {
  if (metricName === undefined) return undefined;
  const { le: _, ...others } = labels as Record<string, unknown>;
  return textOf(others);
}

function textOf(value: unknown): string {
  return JSON.stringify(value, (_, part) =>
    typeof part === 'number' || typeof part === 'bigint' || part === undefined ? String(part) : part,
  );
}
