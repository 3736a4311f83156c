/**
 * Corpora: pages of real memory and files, made on the spot by `collect`
 * (collect/collect.cc says which there are), once a run, into a file every trial
 * then reads.
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packageRoot } from '../src/native/load.js';
import { dumpGuestMemory } from './guest-memory.js';
import { progress } from './trial.js';

export const PAGE_BYTES = 4096;
const FEWEST_PAGES = 2048;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const INTERRUPTED_STATUS = 130;

export interface Corpus {
  /** As asked for. */
  name: string;
  pages: number;
  /** Raw pages; FILE.stubborn beside it unless it is a mix. */
  file: string;
}

/** Makes corpora in a folder that goes when `work` is done. */
export async function withCorpora<Result>(
  work: (collect: (spec: string, pagesMax: number) => Promise<Corpus>) => Promise<Result>,
): Promise<Result> {
  const folder = mkdtempSync(join(tmpdir(), 'tmemd-bench-'));
  let made = 0;
  const remove = () => rmSync(folder, { recursive: true, force: true });
  const interrupted = () => {
    remove();
    process.exit(INTERRUPTED_STATUS);
  };
  for (const signal of SIGNALS) process.on(signal, interrupted);
  try {
    return await work((spec, pagesMax) => {
      made += 1;
      return collect(spec, pagesMax, join(folder, `corpus-${made}`), folder);
    });
  } finally {
    for (const signal of SIGNALS) process.off(signal, interrupted);
    remove();
  }
}

async function collect(spec: string, pagesMax: number, file: string, folder: string): Promise<Corpus> {
  progress(`collecting corpus ${spec}`);
  const source = /(?:^|:)guest$/.test(spec) ? `file:${await dumpGuestMemory(pagesMax, folder)}` : undefined;
  await runCollector(source === undefined ? spec : spec.replace(/guest$/, source), pagesMax, file);
  const pages = statSync(file).size / PAGE_BYTES;
  if (pages < FEWEST_PAGES) {
    throw new Error(`corpus ${spec} has ${pages} pages here, needed: ${FEWEST_PAGES}`);
  }
  return { name: spec, pages, file };
}

function runCollector(spec: string, pagesMax: number, file: string): Promise<void> {
  const collector = join(packageRoot(), 'build', 'bench', 'collect');
  if (!existsSync(collector)) throw new Error(`${collector} is missing: run \`npm run bench\``);
  return new Promise((resolve, reject) => {
    const args = [spec, String(pagesMax), file];
    execFile(collector, args, { cwd: packageRoot() }, (error, _stdout, stderr) => {
      if (error) reject(new Error(stderr.trim().replace(/^collect: /, '') || error.message));
      else resolve();
    });
  });
}

/** 0 to count - 1 in an order that depends on the seed alone. */
export function shuffled(count: number, seed: number): Uint32Array {
  const order = Uint32Array.from({ length: count }, (_, index) => index);
  let state = seed >>> 0 || 1;
  for (let last = count - 1; last > 0; last -= 1) {
    // Marsaglia's xorshift32: enough for an order.
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    const other = (state >>> 0) % (last + 1);
    const held = order[last] ?? 0;
    order[last] = order[other] ?? 0;
    order[other] = held;
  }
  return order;
}

/** The order cut into chunks; a shorter rest is left out. */
export function chunks(order: Uint32Array, chunkPages: number): Uint32Array[] {
  const count = Math.floor(order.length / chunkPages);
  return Array.from({ length: count }, (_, chunk) =>
    order.subarray(chunk * chunkPages, (chunk + 1) * chunkPages),
  );
}
