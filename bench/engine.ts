/** The engine in process, by build/bench/store_bench. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { packageRoot } from '../src/native/load.js';
import type { Corpus } from './corpus.js';
import type { Document } from './document.js';
import { at, type Figure, isSeries, overTrials } from './figure.js';
import { progress } from './trial.js';

/** One trial of the engine, as store_bench's options put it. */
export interface EngineMeasure {
  trial: string;
  corpus: Corpus;
  /** The corpus `churn` shifts to. */
  later?: Corpus;
  /** Operations of `churn`. */
  steps?: number;
  /** Pages `scale` and `flush` hold; skipped where they do not fit. */
  held?: number;
  /** Added to its figures' points. */
  point?: Record<string, number | string>;
}

/** As store_bench has it: this machine cannot do the trial. */
const NOT_HERE_STATUS = 3;

class NotHere extends Error {}

/** Runs every measure `trials` times, each in a process of its own, all of them in turn. */
export async function engine(
  measures: readonly EngineMeasure[],
  trials: number,
): Promise<Pick<Document, 'figures' | 'skipped'>> {
  const figures: Figure[][] = [];
  const skipped = new Map<string, string>();
  for (let trial = 1; trial <= trials; trial += 1) {
    for (const measure of measures) {
      const name = `${measure.trial}${measure.held === undefined ? '' : ` of ${measure.held} pages`}`;
      if (skipped.has(name)) continue;
      progress(`engine: ${name}, corpus ${measure.corpus.name}, trial ${trial} of ${trials}`);
      try {
        const found = at(measure.point ?? {}, await storeBench(measure));
        figures.push(trial === 1 ? found : found.filter((figure) => !isSeries(figure.name)));
      } catch (error) {
        if (!(error instanceof NotHere)) throw error;
        progress(`skipping ${name}: ${error.message}`);
        skipped.set(name, error.message);
      }
    }
  }
  return {
    figures: overTrials(figures),
    skipped: [...skipped].map(([name, reason]) => ({ name, reason })),
  };
}

function storeBench({ trial, corpus, later, steps, held }: EngineMeasure): Promise<Figure[]> {
  const args = ['--trial', trial, '--corpus', corpus.file];
  if (later) args.push('--later', later.file);
  if (steps !== undefined) args.push('--steps', String(steps));
  if (held !== undefined) args.push('--held', String(held));
  const program = join(packageRoot(), 'build', 'bench', 'store_bench');
  return new Promise((resolve, reject) => {
    execFile(program, args, (error, stdout, stderr) => {
      const said = stderr.trim().split('\n').at(-1) || error?.message;
      if (error?.code === NOT_HERE_STATUS) reject(new NotHere(said));
      else if (error) reject(new Error(said));
      else resolve(JSON.parse(stdout) as Figure[]);
    });
  });
}
