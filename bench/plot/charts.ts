/** Every chart of the page: what it shows of which documents. No chart where nothing was measured. */
import type { Document } from '../document.js';
import { byAxis, bySize, overTime } from './lines.js';
import { mixes } from './mixes.js';
import { peerCosts, peerLatencies } from './peers.js';
import type { Chart } from './render.js';

const makers: ((document: Document) => Chart | undefined)[] = [
  peerCosts,
  peerLatencies,
  (document) =>
    byAxis(document, {
      id: 'device-depth',
      title: 'Whole path, by requests in flight',
      axis: 'depth',
      axisName: 'requests in flight',
      unit: 'cost ÷ arithmetic floor',
      lines: [
        { name: 'put', figure: 'put_ratio', of: 'device' },
        { name: 'get', figure: 'get_ratio', of: 'device' },
      ],
    }),
  (document) =>
    byAxis(document, {
      id: 'engine-batch',
      title: 'Engine alone, gets in random order by batch',
      axis: 'batch',
      axisName: 'gets in a batch',
      unit: 'cost ÷ arithmetic floor',
      lines: [{ name: 'get', figure: 'get_ratio', of: 'store' }],
    }),
  (document) =>
    byAxis(document, {
      id: 'threads',
      title: 'Engine alone, throughput by threads, a guest each',
      axis: 'threads',
      axisName: 'threads',
      unit: '× one thread',
      lines: [{ name: 'puts and gets', figure: 'threads_speedup', of: 'store' }],
    }),
  bySize,
  mixes,
  overTime,
];

export function charts(documents: readonly Document[]): Chart[] {
  return makers.flatMap((make) =>
    documents.flatMap((document) => {
      const chart = make(document);
      return chart ? [chart] : [];
    }),
  );
}
