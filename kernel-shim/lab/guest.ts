/** `npm run guest`: a real guest under memory pressure swaps into the real service. */
import { CommanderError } from 'commander';
import { cacheFolder } from './artefacts.js';
import { Closers } from './closers.js';
import { formatKernels, runKernels } from './kernels.js';
import { runLab } from './lab.js';
import { parseOptions } from './options.js';
import { objections } from './result.js';
import { formatResult } from './table.js';

const say = (text: string): void => {
  process.stderr.write(`tmemd: ${text}\n`);
};

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
    const result = await runLab(options, surroundings);
    if (result === undefined) return 0;
    process.stdout.write(`${options.json ? JSON.stringify(result, null, 2) : formatResult(result)}\n`);
    const found = objections(result);
    for (const objection of found) say(objection);
    if (found.length === 0) say('every page checked out');
    return found.length === 0 ? 0 : 1;
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
