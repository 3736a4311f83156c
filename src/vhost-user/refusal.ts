/**
 * A request that was refused: what it was about, why, and what whoever runs the front end can do. QEMU shows no more
 * of it than "Input/output error", and with REPLY_ACK the connection goes on; so this is the only place to say it.
 */
import type { RequestName } from './requests.js';

/** What a refused request was about: a metric's label, so the set is fixed. */
export const refusalKinds = ['memory', 'ring', 'channel', 'other'] as const;
export type RefusalKind = (typeof refusalKinds)[number];

export interface Refusal {
  request: RequestName;
  kind: RefusalKind;
  error: string;
  cure: string;
}

const cures: Record<RefusalKind, string> = {
  memory:
    'give every memory backend of the guest share=on; fewer and larger regions where there are too many; ' +
    'a larger memory_map_max where that is what it says',
  ring: 'give every memory backend of the guest share=on, those of DIMMs and NUMA nodes too; a ring must lie in it',
  channel: 'update the front end: it passed something else than its own channel',
  other: 'update the front end',
};

function kindOf(request: RequestName): RefusalKind {
  if (request.includes('MEM')) return 'memory';
  if (request.includes('VRING')) return 'ring';
  return request === 'SET_BACKEND_REQ_FD' ? 'channel' : 'other';
}

export function refusalOf(request: RequestName, error: string): Refusal {
  const kind = kindOf(request);
  return { request, kind, error, cure: cures[kind] };
}
