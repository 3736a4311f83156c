/** The arithmetic alone, measured like everything else: its ratio says how steady the machine is. */
import type { LoadResult } from '../../test/mock/mock.js';
import { floorOf } from './guest-corpus.js';
import type { Subject } from './subject.js';

export const floor: Subject = {
  own: true,
  depths: 'one',
  missing: () => undefined,
  async start(corpus) {
    // Two, each with compressed pages of its own: neither finds the other's in a cache.
    const arithmetic = floorOf(corpus);
    const result = (pages: Uint32Array, elapsedNs: number): LoadResult => ({
      elapsedNs,
      byStatus: [pages.length],
      mismatches: 0,
      latencyNs: new Uint32Array(),
    });
    return {
      keeper: () => ({
        put: (pages) => result(pages, arithmetic.put(pages)),
        get: (pages) => result(pages, arithmetic.get(pages)),
      }),
      floor: floorOf(corpus),
      memoryBytes: () => arithmetic.compressedBytes(),
      async stop() {},
    };
  },
};
