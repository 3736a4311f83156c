/**
 * `npm run bench -- SUBCOMMAND`: what each measures is in README.md.
 *
 * A readable table on stdout, or with --json one JSON document and nothing
 * else; progress on stderr; the document is kept for `plot`. Exit status 1 and
 * one line when something could not be measured.
 */
import { join } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { type Corpus, withCorpora } from './corpus.js';
import { type Document, defaultResults, SCHEMA, saveDocument } from './document.js';
import { type EngineMeasure, engine } from './engine.js';
import type { Figure } from './figure.js';
import { device, peers } from './peers.js';
import { plot } from './plot/page.js';
import { setting } from './setting.js';
import { formatDocument } from './table.js';
import { progress } from './trial.js';

interface Options {
  json?: true;
  results: string;
  corpus: string;
  pages: number;
  trials: number;
}

type Collect = (spec: string, pagesMax: number) => Promise<Corpus>;

interface Measured {
  figures: Figure[];
  skipped?: Document['skipped'];
}

const CORPORA =
  'node, python, bin, text, guest, pid:N, file:PATH or mix:ZERO,DUPLICATE,INCOMPRESSIBLE:CORPUS';

function wholeNumber(minimum: number, maximum: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= minimum && value <= maximum) return value;
    throw new InvalidArgumentError(`allowed: an integer from ${minimum} to ${maximum}`);
  };
}

function wholeNumbers(minimum: number, maximum: number): (text: string) => number[] {
  return (text) => text.split(',').map(wholeNumber(minimum, maximum));
}

/** A subcommand with the options all have; `trials` is how many unless told. */
function subcommand<Own extends object>(
  name: string,
  description: string,
  trials: number,
  measure: (corpus: Corpus, options: Options & Own, collect: Collect) => Promise<Measured>,
): Command {
  return program
    .command(name)
    .description(description)
    .option('--json', 'one JSON document on stdout')
    .option('--results <folder>', 'where the document is kept for plot', defaultResults())
    .option('--corpus <spec>', CORPORA, 'node')
    .option('--pages <number>', 'pages of the corpus at most', wholeNumber(2048, 2 ** 24), 65536)
    .option('--trials <number>', 'trials, each in a fresh process', wholeNumber(1, 100), trials)
    .allowExcessArguments(false)
    .action((options: Options & Own) => run(name, options, measure));
}

async function run<Own extends object>(
  bench: string,
  options: Options & Own,
  measure: (corpus: Corpus, options: Options & Own, collect: Collect) => Promise<Measured>,
): Promise<void> {
  const where = setting();
  const { json = false, results, corpus: spec, pages, ...settings } = options;
  const document = await withCorpora(async (collect): Promise<Document> => {
    const corpus = await collect(spec, pages);
    const { figures, skipped = [] } = await measure(corpus, options, collect);
    return {
      schema: SCHEMA,
      bench,
      taken_at: new Date().toISOString(),
      ...where,
      corpus: { name: corpus.name, pages: corpus.pages },
      settings: settingsOf(settings),
      figures,
      skipped,
    };
  });
  process.stdout.write(json ? `${JSON.stringify(document, null, 2)}\n` : formatDocument(document));
  progress(`kept as ${saveDocument(document, results)}`);
}

function settingsOf(settings: object): Document['settings'] {
  return Object.fromEntries(
    Object.entries(settings).map(([name, value]) => [name, Array.isArray(value) ? value.join(' ') : value]),
  );
}

const program = new Command('bench').description('measure tmemd, and what one would use instead');

subcommand<{ depth: number[]; chunk: number }>(
  'device',
  'driver to store and back, over the real socket, against the arithmetic floor',
  5,
  async (corpus, { depth, chunk, trials }) => ({
    figures: await device(corpus, { depths: depth, chunkPages: chunk, trials }),
  }),
)
  .option('--depth <numbers>', 'requests in flight; several: 1,8,64', wholeNumbers(1, 85), [64])
  .option('--chunk <number>', 'pages between turns with the floor', wholeNumber(64, 65536), 256);

subcommand<{ depth: number[]; chunk: number }>(
  'peers',
  "tmemd beside zram, QEMU's storage daemon, Redis, Valkey, memcached and the arithmetic alone",
  3,
  (corpus, { depth, chunk, trials }) => peers(corpus, { depths: depth, chunkPages: chunk, trials }),
)
  .option('--depth <numbers>', 'requests in flight, where there can be several', wholeNumbers(1, 85), [64])
  .option('--chunk <number>', 'pages between turns with the floor', wholeNumber(64, 65536), 256);

subcommand<{ objectPages: number }>(
  'store',
  'the engine in process: put, get, flush, eviction, threads, and a guest beside the control plane',
  5,
  async (corpus, { trials, objectPages }) => {
    const names = ['put', 'get', 'cheap', 'stubborn', 'evict', 'threads', 'control'];
    const measures = names.map((trial): EngineMeasure => ({ trial, corpus }));
    measures.push({ trial: 'flush', corpus, held: objectPages });
    return engine(measures, trials);
  },
).option(
  '--object-pages <number>',
  'pages of the object flushed at once',
  wholeNumber(2048, 2 ** 24),
  1_000_000,
);

/** Per cent zero, duplicate, incompressible. */
const MIXES = ['25,0,0', '50,0,0', '0,25,0', '0,50,0', '0,0,25', '0,0,50', '20,20,10'];

subcommand(
  'density',
  'memory used against the LZ4 bytes of the pages held: at once, settled, over time, by mix',
  3,
  async (corpus, { trials, corpus: spec, pages }, collect) => {
    const measures: EngineMeasure[] = [
      { trial: 'density', corpus, point: { mix: '0,0,0' } },
      { trial: 'settle', corpus },
      { trial: 'timeline', corpus },
    ];
    if (!spec.startsWith('mix:')) {
      for (const mix of MIXES) {
        const mixed = await collect(`mix:${mix}:file:${corpus.file}`, pages);
        const named = { ...mixed, name: `mix:${mix}:${spec}` };
        measures.push({ trial: 'density', corpus: named, point: { mix } });
      }
    }
    return engine(measures, trials);
  },
);

subcommand<{ later: string; steps: number }>(
  'churn',
  'density after the content of a full store has shifted to another corpus',
  3,
  async (corpus, { later, steps, trials, pages }, collect) => {
    const shifted = await collect(later, pages);
    return engine([{ trial: 'churn', corpus, later: shifted, steps }], trials);
  },
)
  .option('--later <spec>', 'the corpus the content shifts to', 'text')
  .option('--steps <number>', 'puts and flushes', wholeNumber(1, 1e9), 10_000_000);

subcommand<{ held: number[] }>(
  'scale',
  'cost of a page by how many are held; 8 million of 4 KiB take about 12 GiB',
  1,
  (corpus, { held, trials }) =>
    engine(
      held.map((pages): EngineMeasure => ({ trial: 'scale', corpus, held: pages })),
      trials,
    ),
).option(
  '--held <numbers>',
  'pages held',
  wholeNumbers(4096, 2 ** 32),
  [100_000, 1_000_000, 4_000_000, 8_000_000],
);

program
  .command('plot')
  .description('one HTML page with charts of the latest documents')
  .option('--results <folder>', 'where runs left their documents', defaultResults())
  .option('--out <file>', 'the page; default: charts.html among the documents')
  .option('--svg <folder>', 'also every chart as a file of its own')
  .allowExcessArguments(false)
  .action(
    ({
      results,
      out = join(results, 'charts.html'),
      svg,
    }: {
      results: string;
      out?: string;
      svg?: string;
    }) => {
      for (const file of plot({ results, out, ...(svg === undefined ? {} : { svg }) })) {
        process.stdout.write(`${file}\n`);
      }
    },
  );

await program.parseAsync().catch((error: Error) => {
  process.stderr.write(`bench: ${error.message}\n`);
  process.exitCode = 1;
});
