/**
 * One trial of `device`: a fresh service, a guest attached over its socket,
 * one request queue. Puts every page of the corpus once, then gets each once in
 * random order; the floor takes its turn on the same pages after every chunk.
 * Then depth 1, for what a single synchronous request takes.
 */

import { readFileSync } from 'node:fs';
import { Guest } from '../test/mock/guest.js';
import { type LoadResult, mock, wire } from '../test/mock/mock.js';
import { Service } from '../test/mock/service.js';
import { chunks, PAGE_BYTES, shuffled } from './corpus.js';
import { median, pairwiseRatio, quantile, type Spread } from './statistics.js';

export interface DeviceTrialSettings {
  /** A file of whole pages. */
  corpusFile: string;
  depth: number;
  chunkPages: number;
  seed: number;
}

export interface DeviceFigures {
  pages: number;
  putUs: number;
  getUs: number;
  floorPutUs: number;
  floorGetUs: number;
  putRatio: Spread;
  getRatio: Spread;
  depth1PutP50Us: number;
  depth1PutP99Us: number;
  depth1GetP50Us: number;
  depth1GetP99Us: number;
  /** Pages that came back other than they were put: any is a failure. */
  mismatches: number;
  lz4Bytes: number;
  usedBytes: number;
}

const DEPTH_1_PAGES = 4096;
const RING_SIZE = 256;

export default async function deviceTrial(settings: DeviceTrialSettings): Promise<DeviceFigures> {
  const corpus = readFileSync(settings.corpusFile);
  const pageCount = Math.floor(corpus.length / PAGE_BYTES);
  // Room for every page raw: nothing is refused or evicted.
  const memory = `${Math.ceil((pageCount * PAGE_BYTES * 1.1) / 2 ** 20) + 64}MiB`;
  const service = await Service.start({ memory, settling: false, guests: { bench: {} } });
  try {
    const guest = new Guest(service.socket('bench'), {
      queues: 1,
      ringSize: RING_SIZE,
      slots: 8,
      extraBytes: corpus.length + 16 * 2 ** 20,
    });
    guest.reset();
    const pool = guest.createPool(true);
    const address = guest.memory.allocate(3, corpus.length, PAGE_BYTES);
    guest.memory.write(address, corpus);
    const floor = new mock.Floor(guest.memory, address, pageCount);
    const load = (depth: number) => new mock.Load(guest.ring(1), 3, depth, pool, address);
    const deep = load(settings.depth);
    const single = load(1);

    const inOrder = chunks(
      Uint32Array.from({ length: pageCount }, (_, page) => page),
      settings.chunkPages,
    );
    const puts = interleave(
      inOrder,
      (pages) => checked(deep.put(pages)),
      (pages) => floor.put(pages),
    );
    const randomOrder = chunks(shuffled(pageCount, settings.seed), settings.chunkPages);
    const gets = interleave(
      randomOrder,
      (pages) => checked(deep.get(pages, false)),
      (pages) => floor.get(pages),
    );

    let mismatches = 0;
    for (const pages of randomOrder) mismatches += checked(deep.get(pages, true)).mismatches;
    const sample = shuffled(pageCount, settings.seed + 1).subarray(0, DEPTH_1_PAGES);
    const getLatencies = [...checked(single.get(sample, false)).latencyNs];
    const putLatencies = [...checked(single.put(sample)).latencyNs];
    const { usedBytes } = await service.admin.store();
    guest.close();
    return {
      pages: pageCount,
      putUs: median(puts.subjectUs),
      getUs: median(gets.subjectUs),
      floorPutUs: median(puts.floorUs),
      floorGetUs: median(gets.floorUs),
      putRatio: pairwiseRatio(puts.subjectUs, puts.floorUs),
      getRatio: pairwiseRatio(gets.subjectUs, gets.floorUs),
      depth1PutP50Us: quantile(putLatencies, 0.5) / 1e3,
      depth1PutP99Us: quantile(putLatencies, 0.99) / 1e3,
      depth1GetP50Us: quantile(getLatencies, 0.5) / 1e3,
      depth1GetP99Us: quantile(getLatencies, 0.99) / 1e3,
      mismatches,
      lz4Bytes: floor.compressedBytes(),
      usedBytes,
    };
  } finally {
    await service.stop();
  }
}

/** Microseconds a page, a chunk each, subject and floor in turn. */
function interleave(
  parts: Uint32Array[],
  subject: (pages: Uint32Array) => LoadResult,
  floor: (pages: Uint32Array) => number,
): { subjectUs: number[]; floorUs: number[] } {
  const subjectUs: number[] = [];
  const floorUs: number[] = [];
  for (const pages of parts) {
    subjectUs.push(subject(pages).elapsedNs / pages.length / 1e3);
    floorUs.push(floor(pages) / pages.length / 1e3);
  }
  return { subjectUs, floorUs };
}

/** Only work that was done counts: a refusal or a miss would be cheaper. */
function checked(result: LoadResult): LoadResult {
  const others = result.byStatus.filter((count, status) => status !== wire.S_OK && count > 0);
  if (others.length > 0) throw new Error(`not every request was served; by status: ${result.byStatus}`);
  return result;
}
