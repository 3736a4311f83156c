/** Reproducible chance: a run is its seed, which TMEMD_SEED sets and every run prints. */
import { randomInt } from 'node:crypto';

export class Random {
  readonly seed: number;
  #state: number;

  constructor(seed: number) {
    this.seed = seed;
    this.#state = seed >>> 0;
  }

  /** Seeded by TMEMD_SEED, else by chance; says which. */
  static announced(title: string): Random {
    const given = process.env.TMEMD_SEED;
    const seed = given === undefined ? randomInt(2 ** 31) : Number(given);
    process.stdout.write(`${title}: TMEMD_SEED=${seed}\n`);
    return new Random(seed);
  }

  /** An integer of 32 bits (mulberry32). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }

  /** From 0 to `bound` - 1. */
  below(bound: number): number {
    return this.next() % bound;
  }

  chance(share: number): boolean {
    return this.next() < share * 2 ** 32;
  }

  pick<T>(from: readonly T[]): T {
    const picked = from[this.below(from.length)];
    if (picked === undefined) throw new RangeError('nothing to pick from');
    return picked;
  }

  /** One of the entries, each as likely as its weight says. */
  weighted<T>(entries: readonly (readonly [weight: number, value: T])[]): T {
    let left = this.below(entries.reduce((sum, [weight]) => sum + weight, 0));
    for (const [weight, value] of entries) {
      if (left < weight) return value;
      left -= weight;
    }
    throw new RangeError('weights that are no whole numbers');
  }
}
