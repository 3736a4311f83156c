/**
 * A guest's device counters over all its sessions. A device counts from zero,
 * so what a closed session counted is added here and the sums never go back.
 */
import type { DeviceCounters } from '../native/addon.js';

export function addDeviceCounters(a: DeviceCounters | undefined, b: DeviceCounters): DeviceCounters {
  if (!a) return b;
  return {
    requestsTotal: a.requestsTotal + b.requestsTotal,
    badRequestsTotal: a.badRequestsTotal + b.badRequestsTotal,
    brokenChainsTotal: a.brokenChainsTotal + b.brokenChainsTotal,
    kicksTotal: a.kicksTotal + b.kicksTotal,
    interruptsTotal: a.interruptsTotal + b.interruptsTotal,
    latencyBoundsNs: b.latencyBoundsNs,
    latency: b.latency.map((histogram) => {
      const before = a.latency.find(({ op }) => op === histogram.op);
      return {
        op: histogram.op,
        counts: histogram.counts.map((count, bucket) => count + (before?.counts[bucket] ?? 0)),
        sumNs: histogram.sumNs + (before?.sumNs ?? 0),
      };
    }),
  };
}
