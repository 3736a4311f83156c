/** The service's counters, as the lab shows them. */
import { z } from 'zod';
import { quantile, serviceBuckets } from './histogram.js';
import type { LabService } from './service.js';

const storeGauges = z.object({ usedBytes: z.number(), logicalBytes: z.number() });

const guestStatus = z.object({
  counters: z.object({
    putsGoodTotal: z.number(),
    putsRefusedCapacityTotal: z.number(),
    putsRefusedLimitTotal: z.number(),
    putsRefusedCapTotal: z.number(),
    putsRefusedFrozenTotal: z.number(),
    getsFoundTotal: z.number(),
    flushesFoundTotal: z.number(),
    objectFlushesFoundTotal: z.number(),
    sameFilledPages: z.number(),
    sharedPages: z.number(),
    compressedPages: z.number(),
    rawPages: z.number(),
  }),
  device: z.object({
    latencyBoundsNs: z.array(z.number()),
    latency: z.array(z.object({ op: z.string(), counts: z.array(z.number()) })),
  }),
});

/** What is held while the workload holds its memory. */
export async function heldPages(service: LabService, guest: string) {
  const store = storeGauges.parse(await service.ask('store'));
  const { counters, device } = guestStatus.parse(await service.ask('guest', 'show', guest));
  const puts = device.latency.find(({ op }) => op === 'put');
  return {
    page_requests: device.latency
      .filter(({ op }) => op !== 'control')
      .reduce((sum, { counts }) => sum + counts.reduce((all, count) => all + count, 0), 0),
    service_put_p50_ns: quantile(serviceBuckets(device.latencyBoundsNs, puts?.counts ?? []), 0.5),
    same_filled: counters.sameFilledPages,
    dedup: counters.sharedPages,
    compressed: counters.compressedPages,
    raw: counters.rawPages,
    stored_bytes: store.usedBytes,
    logical_bytes: store.logicalBytes,
  };
}

/** What was done over the whole run, and whether the store adds up after it. */
export async function operations(service: LabService, guest: string) {
  const { counters } = guestStatus.parse(await service.ask('guest', 'show', guest));
  return {
    puts: counters.putsGoodTotal,
    gets: counters.getsFoundTotal,
    flushes: counters.flushesFoundTotal + counters.objectFlushesFoundTotal,
    refused:
      counters.putsRefusedCapacityTotal +
      counters.putsRefusedLimitTotal +
      counters.putsRefusedCapTotal +
      counters.putsRefusedFrozenTotal,
  };
}
