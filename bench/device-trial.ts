/**
 * One trial of `device`: a fresh service, a guest attached over its socket, one
 * request queue, measured as paging.ts says.
 */
import { readFileSync } from 'node:fs';
import { Guest } from '../test/mock/guest.js';
import { type LoadResult, mock, wire } from '../test/mock/mock.js';
import { Service } from '../test/mock/service.js';
import { PAGE_BYTES } from './corpus.js';
import { at, type Figure, figure } from './figure.js';
import { measurePaging, type PageKeeper } from './paging.js';

export interface DeviceTrialSettings {
  /** A file of whole pages. */
  corpusFile: string;
  depth: number;
  chunkPages: number;
  seed: number;
}

const RING_SIZE = 256;
/** The region of guest memory the corpus lies in. */
const CORPUS_REGION = 3;

export default async function deviceTrial(settings: DeviceTrialSettings): Promise<Figure[]> {
  const { corpusFile, depth, chunkPages, seed } = settings;
  const corpus = readFileSync(corpusFile);
  const pageCount = Math.floor(corpus.length / PAGE_BYTES);
  // Room for every page raw: nothing is refused or evicted.
  const memory = `${Math.ceil((pageCount * PAGE_BYTES * 1.1) / 2 ** 20) + 64}MiB`;
  const service = await Service.start({ memory, guests: { bench: {} } });
  try {
    const guest = new Guest(service.socket('bench'), {
      queues: 1,
      ringSize: RING_SIZE,
      slots: 8,
      extraBytes: corpus.length + 16 * 2 ** 20,
    });
    guest.reset();
    const pool = guest.createPool(true);
    const address = guest.memory.allocate(CORPUS_REGION, corpus.length, PAGE_BYTES);
    guest.memory.write(address, corpus);
    const floor = new mock.Floor(guest.memory, address, pageCount);
    const keeper = (inFlight: number) =>
      served(new mock.Load(guest.ring(1), CORPUS_REGION, inFlight, pool, address));
    const figures = measurePaging({
      pageCount,
      chunkPages,
      seed,
      floor,
      deep: keeper(depth),
      single: keeper(1),
    });
    const { usedBytes } = await service.admin.store();
    guest.close();
    return at({ depth }, [
      ...figures,
      figure('lz4_bytes', floor.compressedBytes() / pageCount),
      figure('used_bytes', usedBytes / pageCount),
    ]);
  } finally {
    await service.stop();
  }
}

/** Only work that was done counts: a refusal or a miss would be cheaper. */
function served(keeper: PageKeeper): PageKeeper {
  const checked = (result: LoadResult): LoadResult => {
    const others = result.byStatus.filter((count, status) => status !== wire.S_OK && count > 0);
    if (others.length > 0) throw new Error(`not every request was served; by status: ${result.byStatus}`);
    return result;
  };
  return {
    put: (pages) => checked(keeper.put(pages)),
    get: (pages, verify) => checked(keeper.get(pages, verify)),
  };
}
