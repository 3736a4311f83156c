/**
 * What a pool holds, as simply as it can be said: a map of keys to content
 * hashes.
 *
 * An ephemeral page may be gone, but once it was missed it stays gone. Which
 * pages the store should rather keep is an LRU's notion: the youngest so many
 * of a guest are `recent`, and a store that drops the oldest first misses them
 * less often than the others.
 */
import { LRUCache } from 'lru-cache';

/** Ephemeral pages of a guest, by age of their last put. */
export class Recency {
  readonly #recent: LRUCache<string, true>;

  constructor(pageCount: number) {
    this.#recent = new LRUCache({ max: pageCount });
  }
  touch(key: string): void {
    this.#recent.set(key, true);
  }
  forget(key: string): void {
    this.#recent.delete(key);
  }
  /** Looking does not make it younger. */
  has(key: string): boolean {
    return this.#recent.has(key);
  }
}

export class PoolModel {
  readonly id: number;
  readonly persistent: boolean;
  readonly #objects = new Map<number, Map<number, bigint>>();
  readonly #recency: Recency;

  constructor(id: number, persistent: boolean, recency: Recency) {
    this.id = id;
    this.persistent = persistent;
    this.#recency = recency;
  }

  get pageCount(): number {
    let count = 0;
    for (const pages of this.#objects.values()) count += pages.size;
    return count;
  }

  /** Ephemeral: what it would be if it is still there. */
  get(object: number, index: number): bigint | undefined {
    return this.#objects.get(object)?.get(index);
  }

  isRecent(object: number, index: number): boolean {
    return this.#recency.has(this.#name(object, index));
  }

  put(object: number, index: number, hash: bigint): void {
    const pages = this.#objects.get(object) ?? new Map<number, bigint>();
    this.#objects.set(object, pages.set(index, hash));
    if (!this.persistent) this.#recency.touch(this.#name(object, index));
  }

  drop(object: number, index: number): void {
    this.#objects.get(object)?.delete(index);
    this.#recency.forget(this.#name(object, index));
  }

  dropRange(object: number, first: number, pageCount: number): void {
    for (const index of [...(this.#objects.get(object)?.keys() ?? [])])
      if (index >= first && index < first + pageCount) this.drop(object, index);
  }

  dropObject(object: number): void {
    this.dropRange(object, 0, 2 ** 32);
  }

  *pages(): Generator<{ object: number; index: number; hash: bigint }> {
    for (const [object, pages] of this.#objects)
      for (const [index, hash] of pages) yield { object, index, hash };
  }

  #name(object: number, index: number): string {
    return `${this.id}/${object}/${index}`;
  }
}
