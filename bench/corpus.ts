/**
 * Pages of real memory, made on the spot (native/corpus.h says what each corpus
 * is): unique, compressible, not same-filled, in the order found, so that the
 * service has to do all of its work on each.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../src/native/load.js';

export const PAGE_BYTES = 4096;
const FEWEST_PAGES = 2048;

/** Writes at most that many pages to `file`; how many it were. Throws with what is missing. */
export function collectCorpus(spec: string, pageCount: number, file: string): number {
  const collector = join(packageRoot(), 'build', 'bench', 'collect');
  if (!existsSync(collector)) throw new Error(`${collector} is missing: run \`npm run build\` first`);
  const run = spawnSync(collector, [spec, String(pageCount), file], { cwd: packageRoot(), encoding: 'utf8' });
  if (run.status !== 0) throw new Error(run.stderr.trim().replace(/^collect: /, '') || 'no corpus collected');
  const pages = statSync(file).size / PAGE_BYTES;
  if (pages < FEWEST_PAGES)
    throw new Error(`corpus ${spec} has ${pages} pages here, needed: ${FEWEST_PAGES}`);
  return pages;
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
