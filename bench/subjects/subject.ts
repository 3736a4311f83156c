/** Something that keeps pages: tmemd, what one would use instead, or the arithmetic alone. */
import type { Floor, PageKeeper } from '../paging.js';

export interface SubjectCorpus {
  file: string;
  pages: number;
}

export interface Subject {
  /** Ours: that it cannot be measured is a failure of the run. */
  own?: true;
  /** Requests in flight it is measured with; several where it can have several. */
  depths: 'one' | 'several';
  /** Why it cannot be measured on this machine; undefined when it can. */
  missing(): string | undefined;
  /** Sets up a fresh instance, with room for the whole corpus. */
  start(corpus: SubjectCorpus): Promise<RunningSubject>;
}

export interface RunningSubject {
  keeper(depth: number): PageKeeper;
  /** On the same pages, in this process. */
  floor: Floor & { compressedBytes(): number };
  /** Memory that keeps what has been put: in all, bytes. */
  memoryBytes(): Promise<number> | number;
  stop(): Promise<void>;
}
