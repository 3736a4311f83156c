/** `bench store`, `churn`, `density`, `scale`: the engine in process, by build/bench/store_bench. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { packageRoot } from '../src/native/load.js';
import { type Spread, spread } from './statistics.js';
import { progress } from './trial.js';

export interface StoreSettings {
  corpus: string;
  pages: number;
  trials: number;
  /** Names of store_bench's trials. */
  measures: readonly string[];
  scalePages?: number;
}

export interface StoreReport extends Omit<StoreSettings, 'measures'> {
  figures: Record<string, Spread>;
}

/** Runs every measure in `trials` processes of its own; the spread over them of each figure. */
export async function store({ measures, ...settings }: StoreSettings): Promise<StoreReport> {
  const values = new Map<string, number[]>();
  for (const measure of measures) {
    for (let trial = 1; trial <= settings.trials; trial += 1) {
      progress(`store, ${measure}, trial ${trial} of ${settings.trials}, corpus ${settings.corpus}`);
      for (const [name, value] of Object.entries(await storeBench(measure, settings))) {
        values.set(name, [...(values.get(name) ?? []), value]);
      }
    }
  }
  const figures = Object.fromEntries([...values].map(([name, all]) => [name, spread(all)]));
  return { ...settings, figures };
}

function storeBench(
  measure: string,
  { corpus, pages, scalePages }: Omit<StoreSettings, 'measures'>,
): Promise<Record<string, number>> {
  const root = packageRoot();
  const args = ['--corpus', corpus, '--pages', String(pages), '--trial', measure];
  if (scalePages !== undefined) args.push('--scale-pages', String(scalePages));
  return new Promise((resolve, reject) => {
    execFile(join(root, 'build', 'bench', 'store_bench'), args, { cwd: root }, (error, stdout, stderr) => {
      if (error) {
        reject(new Error(stderr.trim().split('\n').at(-1) || error.message));
        return;
      }
      const { corpus: _name, ...numbers } = JSON.parse(stdout) as Record<string, number | string>;
      resolve(numbers as Record<string, number>);
    });
  });
}
