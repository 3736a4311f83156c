/** `npm run guest`: a real guest under memory pressure swaps into the real service. */
import { CommanderError } from 'commander';
import { cacheFolder } from './artefacts.js';
import { Closers } from './closers.js';
import { runComparison } from './compare.js';
import { formatComparison } from './compare-table.js';
import { formatKernels, runKernels } from './kernels.js';
import { parseOptions } from './options.js';
import { objections } from './result.js';
import { runLab } from './run.js';
import { formatResult } from './table.js';

const say = (text: string): void => {
  process.stderr.write(`tmemd: ${text}\n`);
};

/** Says it, and gives the exit status. */
function verdict(objections: readonly string[]): number {
  for (const objection of objections) say(objection);
  if (objections.length === 0) say('every page checked out');
  return objections.length === 0 ? 0 : 1;
}

async function main(): Promise<number> {
  const options = parseOptions(process.argv.slice(2));
  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => interrupted.abort());
  }
  const closers = new Closers();
  try {
    const surroundings = { cache: cacheFolder(), closers, signal: interrupted.signal, say };
    if (options.kernel === 'all') {
      const outcomes = await runKernels(options, surroundings);
      process.stdout.write(`${options.json ? JSON.stringify(outcomes, null, 2) : formatKernels(outcomes)}\n`);
      return outcomes.some((outcome) => outcome.objections.length > 0) ? 1 : 0;
    }
    if (options.compare) {
      const comparison = await runComparison(options, surroundings);
      process.stdout.write(
        `${options.json ? JSON.stringify(comparison, null, 2) : formatComparison(comparison)}\n`,
      );
      return verdict(
        comparison.ways.flatMap(({ way, objections }) => objections.map((text) => `${way}: ${text}`)),
      );
    }
    const result = await runLab(options, surroundings);
    if (result === undefined) return 0;
    process.stdout.write(`${options.json ? JSON.stringify(result, null, 2) : formatResult(result)}\n`);
    return verdict(objections(result));
  } finally {
    await closers.closeAll();
  }
}

main().then(
  (status) => {
    process.exitCode = status;
  },
  (error: unknown) => {
    if (error instanceof CommanderError) {
      if (error.exitCode !== 0) say(error.message.replace(/^error: /, ''));
      process.exitCode = error.exitCode;
      return;
    }
    say(error instanceof Error ? error.message : String(error));
    process.exitCode = 1;
  },
);
