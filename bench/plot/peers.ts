/** Ours beside the peers. */
import type { Document } from '../document.js';
import type { Figure } from '../figure.js';
import { bar, figureAxis, nameAxis } from './bars.js';
import type { Chart } from './render.js';
import { colours, WIDTH_PX } from './render.js';
import { markAt, named } from './series.js';

const ROW_PX = 44;
const AROUND_PX = 125;

/** A row a peer and depth, in the order measured. */
function rows(document: Document): { names: string[]; of(figure: string): (number | undefined)[] } {
  const key = ({ at }: Figure) => `${at.peer}\n${at.depth === 1 ? 'one at a time' : `${at.depth} in flight`}`;
  const names = [...new Set(document.figures.filter(({ at }) => 'peer' in at).map(key))];
  return {
    names,
    of: (figure) => names.map((name) => named(document, figure).find((one) => key(one) === name)?.median),
  };
}

/** Cost ÷ floor, and what a page takes. */
export function peerCosts(document: Document): Chart | undefined {
  const { names, of } = rows(document);
  if (document.bench !== 'peers' || names.length === 0) return undefined;
  const lz4 = of('lz4_bytes')[0] ?? 0;
  return {
    id: 'peers',
    title: 'tmemd and its peers',
    document,
    heightPx: AROUND_PX + names.length * ROW_PX,
    option: {
      grid: [
        { left: 150, width: WIDTH_PX - 530, top: 70, bottom: 45 },
        { left: WIDTH_PX - 320, width: 260, top: 70, bottom: 45 },
      ],
      xAxis: [
        figureAxis('time a page ÷ arithmetic floor'),
        { ...figureAxis('bytes of memory a page held'), gridIndex: 1 },
      ],
      yAxis: [nameAxis(names), { ...nameAxis(names), gridIndex: 1, axisLabel: { show: false } }],
      series: [
        { ...bar('put', colours.put, of('put_ratio')), markLine: markAt('xAxis', 1) },
        bar('get, random order', colours.get, of('get_ratio')),
        {
          ...bar('memory', colours.memory, of('used_bytes')),
          xAxisIndex: 1,
          yAxisIndex: 1,
          markLine: markAt('xAxis', lz4, 'LZ4'),
        },
      ],
    },
  };
}

/** A single request, there and back. */
export function peerLatencies(document: Document): Chart | undefined {
  if (document.bench !== 'peers') return undefined;
  const { names, of } = rows(document);
  const measured = of('depth1_get_p50_us').flatMap((value, row) => (value === undefined ? [] : [row]));
  if (measured.length === 0) return undefined;
  const only = (values: (number | undefined)[]) => measured.map((row) => values[row]);
  return {
    id: 'peers-latency',
    title: 'One request at a time, median',
    document,
    heightPx: AROUND_PX + measured.length * ROW_PX,
    option: {
      grid: { left: 150, right: 60, top: 70, bottom: 45 },
      xAxis: figureAxis('µs'),
      yAxis: nameAxis(measured.map((row) => names[row]?.split('\n')[0])),
      series: [
        bar('put', colours.put, only(of('depth1_put_p50_us'))),
        bar('get', colours.get, only(of('depth1_get_p50_us'))),
      ],
    },
  };
}
