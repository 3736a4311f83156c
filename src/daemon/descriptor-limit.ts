/**
 * Whether the process may have as many descriptors as its guests take.
 *
 * Node raises the soft limit to the hard one when it starts. A front end that gets no descriptor any more is closed
 * at a message that has done nothing wrong, so that a limit too small is told at the start.
 */
import { readFileSync } from 'node:fs';
import type { Logger } from 'pino';
import type { GuestConfig } from '../config/config.js';
import { ConfigError } from '../config/config-error.js';

/** Node, the store, logs, the admin API and the metrics with some of their clients. */
const OF_THE_SERVICE = 64;
/** Listening socket, connection, the back end's channel, the worker's epoll and eventfd, a second connection refused. */
const OF_A_GUEST = 6;
/** What one message brings, until the device has it. */
const OF_A_MESSAGE = 8;
/** Kick and call. */
const OF_A_RING = 2;

export interface DescriptorNeed {
  /** With one ring each. */
  least: number;
  /** With all of them. */
  most: number;
}

export function descriptorNeed(guests: readonly GuestConfig[]): DescriptorNeed {
  const rings = guests.map(({ disk, requestQueueCount }) => requestQueueCount + (disk ? 0 : 1));
  const need = (ringCount: number) =>
    OF_THE_SERVICE + guests.length * (OF_A_GUEST + OF_A_MESSAGE) + ringCount * OF_A_RING;
  return { least: need(guests.length), most: need(rings.reduce((sum, count) => sum + count, 0)) };
}

/** @param text as of /proc/self/limits. Infinity: none, or none to be seen. */
export function softDescriptorLimit(text: string): number {
  const [, soft] = /^Max open files\s+(\d+)/m.exec(text) ?? [];
  return soft === undefined ? Number.POSITIVE_INFINITY : Number(soft);
}

/** Throws a ConfigError when not every guest could be served, and warns when not with all of its queues. */
export function checkDescriptorLimit(
  guests: readonly GuestConfig[],
  log: Logger,
  limit = currentLimit(),
): void {
  const { least, most } = descriptorNeed(guests);
  const cure = 'raise RLIMIT_NOFILE (ulimit -Hn, LimitNOFILE= of a systemd unit)';
  if (limit < least) {
    throw new ConfigError(
      `RLIMIT_NOFILE: ${limit} descriptors are too few for ${guests.length} guests; allowed: at least ${least}, ` +
        `${most} with all their queues: ${cure}`,
    );
  }
  if (limit < most)
    log.warn({ limit, needed: most }, `too few descriptors for every queue of every guest: ${cure}`);
}

function currentLimit(): number {
  try {
    return softDescriptorLimit(readFileSync('/proc/self/limits', 'utf8'));
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
