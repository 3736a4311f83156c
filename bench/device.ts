/** `bench device`: the whole path of a page, from the driver's ring to the store and back. */
import type { Corpus } from './corpus.js';
import type { DeviceTrialSettings } from './device-trial.js';
import { type Figure, overTrials } from './figure.js';
import { inFreshProcess, progress } from './trial.js';

export interface DeviceSettings {
  depths: readonly number[];
  chunkPages: number;
  trials: number;
}

const trialModule = new URL('./device-trial.js', import.meta.url);

/** Every depth in a process and with a service of its own, `trials` times. */
export async function device(corpus: Corpus, settings: DeviceSettings): Promise<Figure[]> {
  const { depths, chunkPages, trials } = settings;
  const figures: Figure[][] = [];
  for (let trial = 1; trial <= trials; trial += 1) {
    for (const depth of depths) {
      progress(
        `device: depth ${depth}, trial ${trial} of ${trials}, ${corpus.pages} pages of ${corpus.name}`,
      );
      const one: DeviceTrialSettings = { corpusFile: corpus.file, depth, chunkPages, seed: trial };
      figures.push(await inFreshProcess<DeviceTrialSettings, Figure[]>(trialModule, one));
    }
  }
  return overTrials(figures);
}
