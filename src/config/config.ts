/** The configuration as the rest of the control plane sees it: checked, typed, in pages, bytes and milliseconds. */
import { ConfigError } from './config-error.js';
import { formatSize, PAGE_BYTES } from './quantity.js';
import type { ListenAddress, LogLevel } from './schema.js';

/** The disk a guest of the personality `blk` is shown. */
export interface DiskConfig {
  pageCount: number;
  /** The logical block size, 512 or 4096. */
  blockBytes: number;
  /** What the guest sees in /sys/block and /dev/disk/by-id; each disk's its own. */
  serial: string;
}

export interface GuestConfig {
  name: string;
  /** Absent: the personality is `tmem`. With a disk the reserve is its size, so that no write can be refused. */
  disk?: DiskConfig;
  /** Where front ends connect: a path bound here, or a descriptor inherited from the parent. */
  endpoint: { path: string; mode: number } | { fd: number };
  weight: number;
  /** 0: none set. */
  capPages: number;
  reservePages: number;
  /** 0: none set. */
  limitPages: number;
  group?: string;
  frozen: boolean;
  requestQueueCount: number;
  numaNode?: number;
  maxPools: number;
  /** Infinity: never. */
  orphanTimeoutMs: number;
  /** How long a connection may stay without SET_OWNER; Infinity: for ever. */
  silenceTimeoutMs: number;
  maxPagesPerRequest: number;
  /** What the regions of a front end's memory table may be large together. */
  memoryMapBytesMax: number;
  /** How many there may be; at most MAX_MEMORY_REGIONS. */
  memoryRegionsMax: number;
}

export interface Config {
  memoryBytes: number;
  settling: boolean;
  /** The arena's file; absent: the arena is gone with the service. */
  arenaPath?: string;
  /** Absent only when every guest came in as a descriptor and no path was given. */
  adminSocket?: string;
  metrics?: ListenAddress;
  logLevel: LogLevel;
  guests: GuestConfig[];
}

/** A guest's cap and limit leave room for what its reserve promises. */
export function checkLimits(
  guest: Pick<GuestConfig, 'name' | 'capPages' | 'limitPages' | 'reservePages'>,
): void {
  for (const [key, pageCount] of [['cap', guest.capPages] as const, ['limit', guest.limitPages] as const]) {
    if (pageCount === 0 || pageCount >= guest.reservePages) continue;
    const allowed = `none, or at least the reserve (${formatSize(guest.reservePages * PAGE_BYTES)})`;
    throw ConfigError.notAllowed(`guest.${guest.name}.${key}`, formatSize(pageCount * PAGE_BYTES), allowed);
  }
}
