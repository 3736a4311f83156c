/**
 * The pages a model run puts: a fixed set of every kind the store treats
 * differently, so that a page got is recognised by its xxHash alone and its
 * worth in LZ4 bytes is known beforehand.
 */
import { createRequire } from 'node:module';
import xxhash from 'xxhash-wasm';
import { PAGE_BYTES } from '../mock/guest.js';
import type { Random } from './random.js';

/** npm's lz4 in its pure JavaScript form, which ships no types. */
interface Lz4 {
  compressBound(sizeBytes: number): number;
  /** Bytes written; 0 when it would not shrink. */
  compress(from: Buffer, to: Buffer): number;
  uncompress(from: Buffer, to: Buffer): number;
}
const lz4 = createRequire(import.meta.url)('lz4/lib/binding.js') as Lz4;

export interface Content {
  bytes: Buffer;
  hash: bigint;
  /** One 64-bit word all over: kept as a value, or as next to nothing. */
  repeated: boolean;
  /** What LZ4 makes of it; a page that does not shrink counts whole. */
  lz4Bytes: number;
}

const WORDS = ['page', 'pool', 'object', 'index', 'guest', 'swap', 'inode', 'span', 'leaf', '\0\0\0\0', '\n'];

function textLike(random: Random): Buffer {
  let text = '';
  while (text.length < PAGE_BYTES) text += `${random.pick(WORDS)} ${random.below(4096).toString(16)} `;
  return Buffer.from(text.slice(0, PAGE_BYTES), 'latin1');
}

function noise(random: Random, lengthBytes = PAGE_BYTES): Buffer {
  const bytes = Buffer.alloc(lengthBytes);
  for (let at = 0; at < lengthBytes; at += 4) bytes.writeUInt32LE(random.next(), at);
  return bytes;
}

function generate(random: Random): Buffer {
  return random.weighted<() => Buffer>([
    [1, () => Buffer.alloc(PAGE_BYTES)],
    [2, () => Buffer.alloc(PAGE_BYTES, random.below(256))],
    [2, () => Buffer.alloc(PAGE_BYTES, noise(random, 8))],
    [9, () => textLike(random)],
    [3, () => noise(random)],
    // Just about compressible, either way round.
    [3, () => Buffer.concat([noise(random, PAGE_BYTES - 512), Buffer.alloc(512)])],
    [2, () => Buffer.concat([Buffer.alloc(4088), noise(random, 8)])],
  ])();
}

function isRepeated(bytes: Buffer): boolean {
  return bytes.subarray(8).equals(bytes.subarray(0, -8));
}

function compressedBytes(bytes: Buffer): number {
  const packed = Buffer.alloc(lz4.compressBound(PAGE_BYTES));
  const length = lz4.compress(bytes, packed);
  if (length <= 0 || length >= PAGE_BYTES) return PAGE_BYTES;
  const back = Buffer.alloc(PAGE_BYTES);
  if (lz4.uncompress(packed.subarray(0, length), back) !== PAGE_BYTES || !back.equals(bytes))
    throw new Error('npm lz4 does not give back what it was given');
  return length;
}

export class Contents {
  readonly #all: Content[] = [];
  readonly #byHash = new Map<bigint, Content>();
  readonly #hash: (bytes: Uint8Array) => bigint;

  private constructor(hash: (bytes: Uint8Array) => bigint) {
    this.#hash = hash;
  }

  static async make(random: Random, count: number): Promise<Contents> {
    const { h64Raw } = await xxhash();
    const contents = new Contents((bytes) => h64Raw(bytes));
    while (contents.#all.length < count) {
      const bytes = generate(random);
      const hash = contents.#hash(bytes);
      const content = { bytes, hash, repeated: isRepeated(bytes), lz4Bytes: compressedBytes(bytes) };
      contents.#all.push(content);
      contents.#byHash.set(hash, content);
    }
    return contents;
  }

  pick(random: Random): Content {
    return random.pick(this.#all);
  }

  hash(bytes: Uint8Array): bigint {
    return this.#hash(bytes);
  }

  byHash(hash: bigint): Content {
    const content = this.#byHash.get(hash);
    if (!content) throw new Error(`no content with hash ${hash}`);
    return content;
  }
}
