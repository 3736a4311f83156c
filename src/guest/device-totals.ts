/**
 * A guest's device counters over all its sessions. A device counts from zero,
 * so what a closed session counted is added here and the sums never go back.
 */
import type { DeviceCounters } from '../native/addon.js';

type Plus = (sum: number, count: number) => number;

/** What cannot be a count, be it null, a bigint or below zero. */
function isCount(count: number): boolean {
  return Number.isFinite(count) && count >= 0;
}

/** To be shown: NaN where a count cannot be, so that who shows it sees that. */
export function addDeviceCounters(sum: DeviceCounters | undefined, counters: DeviceCounters): DeviceCounters {
  return add(sum, counters, (a, b) => (isCount(b) ? a + b : Number.NaN));
}

/** To be kept: a count that cannot be adds nothing, for the sum would have it for ever. */
export function keepDeviceCounters(
  sum: DeviceCounters | undefined,
  counters: DeviceCounters,
): DeviceCounters {
  return add(sum, counters, (a, b) => (isCount(b) ? a + b : a));
}

function add(a: DeviceCounters | undefined, b: DeviceCounters, plus: Plus): DeviceCounters {
  return {
    requestsTotal: plus(a?.requestsTotal ?? 0, b.requestsTotal),
    badRequestsTotal: plus(a?.badRequestsTotal ?? 0, b.badRequestsTotal),
    brokenChainsTotal: plus(a?.brokenChainsTotal ?? 0, b.brokenChainsTotal),
    kicksTotal: plus(a?.kicksTotal ?? 0, b.kicksTotal),
    interruptsTotal: plus(a?.interruptsTotal ?? 0, b.interruptsTotal),
    latencyBoundsNs: b.latencyBoundsNs,
    latency: b.latency.map((histogram) => {
      const before = a?.latency.find(({ op }) => op === histogram.op);
      return {
        op: histogram.op,
        counts: histogram.counts.map((count, bucket) => plus(before?.counts[bucket] ?? 0, count)),
        sumNs: plus(before?.sumNs ?? 0, histogram.sumNs),
      };
    }),
  };
}
