/** Memory a page held, by what the pages are a mix of. */
import type { Document } from '../document.js';
import type { Chart } from './render.js';
import { colours } from './render.js';
import { named, short } from './series.js';

const ROW_PX = 34;
const AROUND_PX = 130;

export function mixes(document: Document): Chart | undefined {
  const used = named(document, 'used_bytes').filter(({ at }) => 'mix' in at);
  const lz4 = named(document, 'lz4_bytes').filter(({ at }) => 'mix' in at);
  if (document.bench !== 'density' || used.length < 2) return undefined;
  const label = { show: true, position: 'right', formatter: ({ value }: { value: number }) => short(value) };
  return {
    id: 'mixes',
    title: 'Memory by mix',
    document,
    heightPx: AROUND_PX + used.length * ROW_PX,
    option: {
      grid: { left: 290, right: 60, top: 75, bottom: 45 },
      xAxis: { type: 'value', name: 'bytes a page held', nameLocation: 'middle', nameGap: 28, max: 4096 },
      yAxis: { type: 'category', inverse: true, data: used.map(({ at }) => mixName(String(at.mix))) },
      series: [
        {
          type: 'bar',
          name: 'LZ4 of unique pages',
          data: lz4.map(({ median }) => median),
          itemStyle: { color: '#c8c8c8' },
        },
        {
          type: 'bar',
          name: 'all memory used',
          data: used.map(({ median }) => median),
          itemStyle: { color: colours.memory },
          label,
        },
      ],
    },
  };
}

function mixName(mix: string): string {
  const kinds = ['same-filled', 'duplicate', 'incompressible'];
  const parts = mix.split(',').flatMap((share, kind) => (share === '0' ? [] : [`${share} % ${kinds[kind]}`]));
  return parts.join(', ') || 'the corpus itself';
}
