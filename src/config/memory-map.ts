/**
 * How much of the process's address space each guest's front end may claim, in bytes and in mappings.
 *
 * A memory table maps what it names, and the size of a sparse file is no memory: without a bound a few
 * front ends could claim all 128 TiB, and every allocation of the process would fail. So each guest
 * has a share of a quarter of it, and all shares together fit; nobody can use up another's. While one
 * table replaces another both are mapped, so that front ends may take half, and half remains. The same
 * goes for the number of mappings, of which the kernel allows `vm.max_map_count` (65530 by default).
 *
 * A guest that says nothing gets four times the host's memory, which leaves room for regions that are
 * there to be filled later (virtio-mem), or its part of what the others leave where that is less.
 */
import { readFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { MAX_MEMORY_REGIONS } from '../vhost-user/requests.js';
import type { GuestConfig } from './config.js';
import { ConfigError } from './config-error.js';
import { formatSize } from './quantity.js';

const ADDRESS_SPACE_BYTES = 32 * 1024 ** 4;
const HOSTS_MEMORIES = 4;
const DEFAULT_MAPPINGS = 65530;

export type GuestToShare = Omit<GuestConfig, 'memoryMapBytesMax' | 'memoryRegionsMax'> & {
  memoryMapBytesMax: number | undefined;
};

export interface Host {
  memoryBytes: number;
  mappings: number;
}

function thisHost(): Host {
  return { memoryBytes: totalmem(), mappings: mappingsAllowed() };
}

function mappingsAllowed(): number {
  try {
    return Number(readFileSync('/proc/sys/vm/max_map_count', 'utf8'));
  } catch {
    return DEFAULT_MAPPINGS; // no /proc here
  }
}

/** Settles what each guest may map; throws when those that say how much say too much. */
export function shareAddressSpace(guests: GuestToShare[], host = thisHost()): GuestConfig[] {
  let left = ADDRESS_SPACE_BYTES;
  let silent = 0;
  for (const { name, memoryMapBytesMax } of guests) {
    if (memoryMapBytesMax === undefined) silent += 1;
    else if (memoryMapBytesMax > left) {
      throw ConfigError.notAllowed(
        `guest.${name}.memory_map_max`,
        formatSize(memoryMapBytesMax),
        `${formatSize(left)} (of ${formatSize(ADDRESS_SPACE_BYTES)} for all guests together)`,
      );
    } else left -= memoryMapBytesMax;
  }
  const share = Math.min(HOSTS_MEMORIES * host.memoryBytes, Math.floor(left / Math.max(silent, 1)));
  if (silent > 0 && share === 0) {
    const allowed = `less, so that guests that do not give it have some of ${formatSize(ADDRESS_SPACE_BYTES)}`;
    throw new ConfigError(`guest.*.memory_map_max: all of it is given away; allowed: ${allowed}`);
  }
  const regions = Math.floor(host.mappings / 4 / Math.max(guests.length, 1));
  const memoryRegionsMax = Math.min(Math.max(regions, 1), MAX_MEMORY_REGIONS);
  return guests.map((guest) => ({
    ...guest,
    memoryMapBytesMax: guest.memoryMapBytesMax ?? share,
    memoryRegionsMax,
  }));
}
