/** Pages to put. */
import { PAGE_BYTES } from '../mock/guest.js';

/** A page of content that only this seed has: half of it noise, half of it text-like. */
export function pageOf(seed: number): Buffer {
  const page = Buffer.alloc(PAGE_BYTES);
  let state = (seed * 2654435761 + 1) >>> 0;
  for (let at = 0; at < PAGE_BYTES; at += 4) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    page.writeUInt32LE(at < PAGE_BYTES / 2 ? state : seed, at);
  }
  return page;
}
