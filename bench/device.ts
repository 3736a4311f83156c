/** `bench device`: the whole path of a page, from the driver's ring to the store and back. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { collectCorpus } from './corpus.js';
import type { DeviceFigures, DeviceTrialSettings } from './device-trial.js';
import { median, type Spread } from './statistics.js';
import { inFreshProcess, progress } from './trial.js';

export interface DeviceSettings {
  corpus: string;
  pages: number;
  depth: number;
  chunkPages: number;
  trials: number;
}

/** Times in microseconds a page; medians over the trials. */
export interface DeviceReport extends DeviceSettings {
  put_us: number;
  get_us: number;
  floor_put_us: number;
  floor_get_us: number;
  /** Medians of pairwise ratios within a trial, then over the trials; low and high over all of them. */
  put_ratio: Spread;
  get_ratio: Spread;
  depth1_put_p50_us: number;
  depth1_put_p99_us: number;
  depth1_get_p50_us: number;
  depth1_get_p99_us: number;
  lz4_bytes_a_page: number;
  used_bytes_a_page: number;
}

const trialModule = new URL('./device-trial.js', import.meta.url);

export async function device(settings: DeviceSettings): Promise<DeviceReport> {
  const { corpus, depth, chunkPages, trials } = settings;
  const folder = mkdtempSync(join(tmpdir(), 'tmemd-bench-'));
  try {
    progress(`collecting corpus ${corpus}`);
    const corpusFile = join(folder, 'corpus');
    const pages = collectCorpus(corpus, settings.pages, corpusFile);
    const figures: DeviceFigures[] = [];
    for (let trial = 1; trial <= trials; trial += 1) {
      progress(`device, trial ${trial} of ${trials}: ${pages} pages`);
      const one: DeviceTrialSettings = { corpusFile, depth, chunkPages, seed: trial };
      figures.push(await inFreshProcess<DeviceTrialSettings, DeviceFigures>(trialModule, one));
    }
    return report({ corpus, pages, depth, chunkPages, trials }, figures);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function report(settings: DeviceSettings, figures: DeviceFigures[]): DeviceReport {
  const wrong = figures.reduce((sum, { mismatches }) => sum + mismatches, 0);
  if (wrong > 0) throw new Error(`${wrong} pages came back other than they were put`);
  const middle = (value: (figures: DeviceFigures) => number) => round(median(figures.map(value)));
  const ratio = (of: (figures: DeviceFigures) => Spread): Spread => ({
    median: middle((trial) => of(trial).median),
    low: round(Math.min(...figures.map((trial) => of(trial).low))),
    high: round(Math.max(...figures.map((trial) => of(trial).high))),
  });
  return {
    ...settings,
    put_us: middle(({ putUs }) => putUs),
    get_us: middle(({ getUs }) => getUs),
    floor_put_us: middle(({ floorPutUs }) => floorPutUs),
    floor_get_us: middle(({ floorGetUs }) => floorGetUs),
    put_ratio: ratio(({ putRatio }) => putRatio),
    get_ratio: ratio(({ getRatio }) => getRatio),
    depth1_put_p50_us: middle(({ depth1PutP50Us }) => depth1PutP50Us),
    depth1_put_p99_us: middle(({ depth1PutP99Us }) => depth1PutP99Us),
    depth1_get_p50_us: middle(({ depth1GetP50Us }) => depth1GetP50Us),
    depth1_get_p99_us: middle(({ depth1GetP99Us }) => depth1GetP99Us),
    lz4_bytes_a_page: middle(({ lz4Bytes, pages }) => lz4Bytes / pages),
    used_bytes_a_page: middle(({ usedBytes, pages }) => usedBytes / pages),
  };
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}
