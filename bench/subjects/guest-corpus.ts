/** The corpus in the memory of a pretended guest: what rings and the floor work on. */
import { readFileSync } from 'node:fs';
import { type Memory, mock } from '../../test/mock/mock.js';
import { PAGE_BYTES } from '../corpus.js';
import type { SubjectCorpus } from './subject.js';

/** The region of a mock guest's memory that is left to whoever uses it. */
export const CORPUS_REGION = 3;

const SLACK_BYTES = 16 * 2 ** 20;

/** What such a guest's extra memory has to hold, requests included. */
export function extraBytes({ pages }: SubjectCorpus): number {
  return pages * PAGE_BYTES + SLACK_BYTES;
}

/** Where the corpus lies from now on. */
export function loadInto(memory: Memory, corpus: SubjectCorpus): bigint {
  const address = memory.allocate(CORPUS_REGION, corpus.pages * PAGE_BYTES, PAGE_BYTES);
  memory.write(address, readFileSync(corpus.file).subarray(0, corpus.pages * PAGE_BYTES));
  return address;
}

/** The floor alone, in memory of its own. */
export function floorOf(corpus: SubjectCorpus) {
  const size = BigInt(extraBytes(corpus));
  const region = { guestPhysical: 0n, userspace: 0n, offset: 0n, size };
  const memory = new mock.Memory([region]);
  const address = memory.allocate(0, corpus.pages * PAGE_BYTES, PAGE_BYTES);
  memory.write(address, readFileSync(corpus.file).subarray(0, corpus.pages * PAGE_BYTES));
  return new mock.Floor(memory, address, corpus.pages);
}
