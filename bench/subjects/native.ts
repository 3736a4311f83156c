/** The native clients of peers, typed. */
import { loadAddon } from '../../src/native/load.js';
import type { PageKeeper } from '../paging.js';

interface Peers {
  /** Page n of the corpus is page n of the device, past the page cache. */
  BlockDevice: new (
    path: string,
    corpusFile: string,
  ) => PageKeeper & { close(): void };
  KeyValue: new (
    socketPath: string,
    protocol: 'redis' | 'memcached',
    depth: number,
    corpusFile: string,
  ) => PageKeeper;
}

export const peers = loadAddon('tmemd_peers') as Peers;
