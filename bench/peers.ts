/** `bench device` and `bench peers`: whatever keeps pages, measured in the same way in the same run. */
import type { Corpus } from './corpus.js';
import type { Document } from './document.js';
import { at, type Figure, overTrials } from './figure.js';
import type { SubjectTrialSettings } from './subject-trial.js';
import { subjects } from './subjects/subjects.js';
import { inFreshProcess, progress } from './trial.js';

export interface PagingRun {
  depths: readonly number[];
  chunkPages: number;
  trials: number;
}

const trialModule = new URL('./subject-trial.js', import.meta.url);

/** Each trial in a process of its own, with a fresh instance of what it measures. */
async function paging(
  name: string,
  corpus: Corpus,
  { depths, chunkPages, trials }: PagingRun,
  trial: number,
): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const depth of depths) {
    progress(`${name}: depth ${depth}, trial ${trial} of ${trials}, ${corpus.pages} pages of ${corpus.name}`);
    const settings: SubjectTrialSettings = { subject: name, corpus, depth, chunkPages, seed: trial };
    figures.push(...(await inFreshProcess<SubjectTrialSettings, Figure[]>(trialModule, settings)));
  }
  return figures;
}

/** tmemd alone, over the depths. */
export async function device(corpus: Corpus, run: PagingRun): Promise<Figure[]> {
  const figures: Figure[][] = [];
  for (let trial = 1; trial <= run.trials; trial += 1) {
    figures.push(await paging('tmemd', corpus, run, trial));
  }
  return overTrials(figures);
}

/** Everything there is on this machine, all in turn before the next trial. A peer that fails is skipped from there on. */
export async function peers(
  corpus: Corpus,
  run: PagingRun,
): Promise<{ figures: Figure[]; skipped: Document['skipped'] }> {
  const figures: Figure[][] = [];
  const skipped: Document['skipped'] = [];
  const skip = (name: string, reason: string) => {
    progress(`skipping ${name}: ${reason}`);
    skipped.push({ name, reason });
  };
  for (const [name, subject] of Object.entries(subjects)) {
    const reason = subject.missing();
    if (reason !== undefined) skip(name, reason);
  }
  for (let trial = 1; trial <= run.trials; trial += 1) {
    for (const [name, subject] of Object.entries(subjects)) {
      if (skipped.some((other) => other.name === name)) continue;
      const depths = subject.depths === 'one' ? [1] : run.depths;
      try {
        figures.push(at({ peer: name }, await paging(name, corpus, { ...run, depths }, trial)));
      } catch (error) {
        if (subject.own) throw error;
        skip(name, `failed in trial ${trial}: ${(error as Error).message}`);
      }
    }
  }
  return { figures: overTrials(figures), skipped };
}
