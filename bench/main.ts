/**
 * `npm run bench -- SUBCOMMAND`: what each measures is in README.md.
 *
 * A readable table on stdout, or with --json one JSON document and nothing
 * else; progress on stderr. Exit status 1 and one line when something could
 * not be measured.
 */
import { Command, InvalidArgumentError } from 'commander';
import { device } from './device.js';
import { setting } from './setting.js';
import { store } from './store.js';
import { printReport } from './table.js';

interface Options {
  json?: true;
  corpus: string;
  pages: number;
  trials: number;
  depth: number;
  chunk: number;
}

function wholeNumber(minimum: number, maximum: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (Number.isInteger(value) && value >= minimum && value <= maximum) return value;
    throw new InvalidArgumentError(`allowed: an integer from ${minimum} to ${maximum}`);
  };
}

/** The options every subcommand has, with the number of pages it takes unless told. */
function subcommand(name: string, description: string, pages: number): Command {
  return program
    .command(name)
    .description(description)
    .option('--json', 'one JSON document on stdout')
    .option('--corpus <spec>', 'node, python, bin, text, pid:N or file:PATH', 'node')
    .option('--pages <number>', 'pages of the corpus at most', wholeNumber(2048, 2 ** 24), pages)
    .option('--trials <number>', 'trials, each in a fresh process', wholeNumber(1, 100), 5)
    .allowExcessArguments(false);
}

async function run(name: string, options: Options, measure: () => Promise<object>): Promise<void> {
  const where = setting();
  printReport({ bench: name, ...where, ...(await measure()) }, options.json ?? false);
}

const program = new Command('bench').description('measure tmemd, and what one would use instead');

subcommand('device', 'driver to store and back, over the real socket, against the arithmetic floor', 65536)
  .option('--depth <number>', 'requests in flight', wholeNumber(1, 85), 64)
  .option('--chunk <number>', 'pages between turns with the floor', wholeNumber(64, 65536), 256)
  .action((options: Options) =>
    run('device', options, () => device({ ...options, chunkPages: options.chunk })),
  );

const engineMeasures = {
  store: ['put', 'get', 'cheap', 'stubborn', 'flush', 'evict', 'giveback', 'threads'],
  density: ['density'],
  churn: ['churn'],
  scale: ['scale'],
} as const;

const engineDescriptions = {
  store: 'the engine in process: put, get, flush, eviction, threads',
  density: 'memory used against the LZ4 bytes of the pages held',
  churn: 'density after the content of a full store has shifted',
  scale: 'cost of a page at 100 thousand and at 8 million held',
} as const;

for (const name of Object.keys(engineMeasures) as (keyof typeof engineMeasures)[]) {
  subcommand(name, engineDescriptions[name], 65536).action((options: Options) =>
    run(name, options, () => store({ ...options, measures: engineMeasures[name] })),
  );
}

await program.parseAsync().catch((error: Error) => {
  process.stderr.write(`bench: ${error.message}\n`);
  process.exitCode = 1;
});
