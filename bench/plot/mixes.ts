/** Memory a page held, by what the pages are a mix of. */
import type { Document } from '../document.js';
import type { Figure } from '../figure.js';
import { bar, figureAxis, nameAxis } from './bars.js';
import type { Chart } from './render.js';
import { colours } from './render.js';
import { named } from './series.js';

const ROW_PX = 34;
const AROUND_PX = 130;

const medians = (figures: readonly Figure[]) => figures.map(({ median }) => median);

export function mixes(document: Document): Chart | undefined {
  const used = named(document, 'used_bytes').filter(({ at }) => 'mix' in at);
  const lz4 = named(document, 'lz4_bytes').filter(({ at }) => 'mix' in at);
  if (document.bench !== 'density' || used.length < 2) return undefined;
  return {
    id: 'mixes',
    title: 'Memory by mix',
    document,
    heightPx: AROUND_PX + used.length * ROW_PX,
    option: {
      grid: { left: 290, right: 60, top: 75, bottom: 45 },
      xAxis: { ...figureAxis('bytes a page held'), max: 4096 },
      yAxis: {
        ...nameAxis(used.map(({ at }) => mixName(String(at.mix)))),
        axisLabel: { width: 270, overflow: 'break' },
      },
      series: [
        bar('LZ4 of unique pages', '#c8c8c8', medians(lz4)),
        bar('all memory used', colours.memory, medians(used)),
      ],
    },
  };
}

function mixName(mix: string): string {
  const kinds = ['same-filled', 'duplicate', 'incompressible'];
  const parts = mix.split(',').flatMap((share, kind) => (share === '0' ? [] : [`${share} % ${kinds[kind]}`]));
  return parts.join(', ') || 'the corpus itself';
}
