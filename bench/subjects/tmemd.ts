/** tmemd as its guests have it: the real service in another process, one request queue. */
import { Guest } from '../../test/mock/guest.js';
import { mock } from '../../test/mock/mock.js';
import { Service } from '../../test/mock/service.js';
import { PAGE_BYTES } from '../corpus.js';
import { CORPUS_REGION, extraBytes, loadInto } from './guest-corpus.js';
import type { Subject, SubjectCorpus } from './subject.js';

const RING_SIZE = 256;
const MIB = 2 ** 20;

/** Room for every page raw: nothing is refused or evicted. */
function roomFor({ pages }: SubjectCorpus): string {
  return `${Math.ceil((pages * PAGE_BYTES * 1.1) / MIB) + 64}MiB`;
}

export const tmemd: Subject = {
  own: true,
  depths: 'several',
  missing: () => undefined,
  async start(corpus) {
    const service = await Service.start({ memory: roomFor(corpus), guests: { bench: {} } });
    try {
      const guest = new Guest(service.socket('bench'), {
        queues: 1,
        ringSize: RING_SIZE,
        slots: 8,
        extraBytes: extraBytes(corpus),
      });
      guest.reset();
      const pool = guest.createPool(true);
      const address = loadInto(guest.memory, corpus);
      return {
        keeper: (depth) => new mock.Load(guest.ring(1), CORPUS_REGION, depth, pool, address),
        floor: new mock.Floor(guest.memory, address, corpus.pages),
        memoryBytes: async () => (await service.admin.store()).usedBytes,
        async stop() {
          guest.close();
          await service.stop();
        },
      };
    } catch (error) {
      await service.stop();
      throw error;
    }
  },
};
