/** The engine in process, by build/bench/store_bench. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { packageRoot } from '../src/native/load.js';
import type { Corpus } from './corpus.js';
import { at, type Figure, isSeries, overTrials } from './figure.js';
import { progress } from './trial.js';

/** One trial of the engine, as store_bench's options put it. */
export interface EngineMeasure {
  trial: string;
  corpus: Corpus;
  /** The corpus `churn` shifts to. */
  later?: Corpus;
  /** Operations of `churn` at most. */
  steps?: number;
  /** Pages `scale` and `flush` hold. */
  held?: number;
  /** Added to its figures' points. */
  point?: Record<string, number | string>;
}

/** Runs every measure `trials` times, each in a process of its own, all of them in turn. */
export async function engine(measures: readonly EngineMeasure[], trials: number): Promise<Figure[]> {
  const figures: Figure[][] = [];
  for (let trial = 1; trial <= trials; trial += 1) {
    for (const measure of measures) {
      const held = measure.held === undefined ? '' : `, ${measure.held} pages held`;
      progress(`engine: ${measure.trial}${held}, corpus ${measure.corpus.name}, trial ${trial} of ${trials}`);
      const found = at(measure.point ?? {}, await storeBench(measure));
      figures.push(trial === 1 ? found : found.filter(({ name }) => !isSeries(name)));
    }
  }
  return overTrials(figures);
}

function storeBench({ trial, corpus, later, steps, held }: EngineMeasure): Promise<Figure[]> {
  const args = ['--trial', trial, '--corpus', corpus.file];
  if (later) args.push('--later', later.file);
  if (steps !== undefined) args.push('--steps', String(steps));
  if (held !== undefined) args.push('--held', String(held));
  const program = join(packageRoot(), 'build', 'bench', 'store_bench');
  return new Promise((resolve, reject) => {
    execFile(program, args, (error, stdout, stderr) => {
      if (error) reject(new Error(stderr.trim().split('\n').at(-1) || error.message));
      else resolve(JSON.parse(stdout) as Figure[]);
    });
  });
}
