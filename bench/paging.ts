/**
 * How anything that keeps pages is measured, ours or a peer: every page of the
 * corpus put once, in order; each got once in random order, the floor taking its
 * turn on the same pages after every chunk; then all got again and compared, not
 * timed; then single requests for their latency.
 */
import type { LoadResult } from '../test/mock/mock.js';
import { chunks, shuffled } from './corpus.js';
import { type Figure, figure } from './figure.js';
import { median, pairwiseRatio, quantile } from './statistics.js';

/** Page n of the corpus has a key of its own. A get brings the page back. */
export interface PageKeeper {
  put(pages: Uint32Array): LoadResult;
  /** `verify` compares with the corpus. */
  get(pages: Uint32Array, verify: boolean): LoadResult;
}

/** Only work that was done counts: a refusal or a miss would be cheaper. Success is status 0 for all. */
export function served(keeper: PageKeeper): PageKeeper {
  const checked = (result: LoadResult): LoadResult => {
    if (result.byStatus.some((count, status) => status !== 0 && count > 0)) {
      throw new Error(`not every request was served; by status: ${result.byStatus}`);
    }
    return result;
  };
  return {
    put: (pages) => checked(keeper.put(pages)),
    get: (pages, verify) => checked(keeper.get(pages, verify)),
  };
}

/** Nanoseconds of the bare arithmetic on those pages. */
export interface Floor {
  put(pages: Uint32Array): number;
  get(pages: Uint32Array): number;
}

export interface PagingSettings {
  pageCount: number;
  chunkPages: number;
  seed: number;
  floor: Floor;
  /** With the requests in flight that are asked about. */
  deep: PageKeeper;
  /** With one in flight. */
  single: PageKeeper;
}

const DEPTH_1_PAGES = 4096;

/** @throws Error when a request was not served or a page came back different. */
export function measurePaging(settings: PagingSettings): Figure[] {
  const { pageCount, chunkPages, seed, floor, deep, single } = settings;
  const inOrder = chunks(
    Uint32Array.from({ length: pageCount }, (_, page) => page),
    chunkPages,
  );
  const randomOrder = chunks(shuffled(pageCount, seed), chunkPages);
  const figures = [
    ...interleave(
      'put',
      inOrder,
      (pages) => deep.put(pages),
      (pages) => floor.put(pages),
    ),
    ...interleave(
      'get',
      randomOrder,
      (pages) => deep.get(pages, false),
      (pages) => floor.get(pages),
    ),
  ];
  const wrong = randomOrder.reduce((sum, pages) => sum + deep.get(pages, true).mismatches, 0);
  if (wrong > 0) throw new Error(`${wrong} pages came back other than they were put`);
  const sample = shuffled(pageCount, seed + 1).subarray(0, DEPTH_1_PAGES);
  figures.push(...latencies('depth1_get', single.get(sample, false).latencyNs));
  figures.push(...latencies('depth1_put', single.put(sample).latencyNs));
  return figures;
}

/** Microseconds a page of both sides, and their ratio chunk by chunk. */
function interleave(
  name: string,
  parts: Uint32Array[],
  subject: (pages: Uint32Array) => LoadResult,
  floor: (pages: Uint32Array) => number,
): Figure[] {
  const subjectUs: number[] = [];
  const floorUs: number[] = [];
  for (const pages of parts) {
    subjectUs.push(subject(pages).elapsedNs / pages.length / 1e3);
    floorUs.push(floor(pages) / pages.length / 1e3);
  }
  return [
    figure(`${name}_us`, median(subjectUs)),
    figure(`floor_${name}_us`, median(floorUs)),
    { name: `${name}_ratio`, at: {}, ...pairwiseRatio(subjectUs, floorUs) },
  ];
}

/** None for what has no latency of its own to measure. */
function latencies(name: string, ns: Uint32Array): Figure[] {
  if (ns.length === 0) return [];
  const p50 = quantile([...ns], 0.5) / 1e3;
  const p99 = quantile([...ns], 0.99) / 1e3;
  return [figure(`${name}_p50_us`, p50), figure(`${name}_p99_us`, p99)];
}
