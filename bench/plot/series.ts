/** Figures as ECharts' series: medians, and their spread as whiskers. */
import type { Document } from '../document.js';
import type { Figure } from '../figure.js';
import { colours } from './render.js';

export function named(document: Document, name: string): Figure[] {
  return document.figures.filter((figure) => figure.name === name);
}

/** Three digits, as labels show them. */
export function short(value: number): string {
  if (value >= 1000) return Math.round(value).toLocaleString('en');
  return value
    .toPrecision(3)
    .replace(/(\.\d*?)0+$/, '$1')
    .replace(/\.$/, '');
}

interface Whisker {
  /** Place on the other axis. */
  place: number | string;
  low: number;
  high: number;
}

interface Coordinates {
  value(dimension: number): number;
  coord(point: (number | string)[]): [number, number];
}

/** From low to high beside a line's points. */
export function whiskers(values: readonly Whisker[], colour: string): object {
  return {
    type: 'custom',
    silent: true,
    z: 5,
    data: values.map(({ place, low, high }) => [place, low, high]),
    encode: { x: 0, y: [1, 2] },
    renderItem(_parameters: unknown, api: Coordinates) {
      const [x, top] = api.coord([api.value(0), api.value(2)]);
      const [, bottom] = api.coord([api.value(0), api.value(1)]);
      const style = { stroke: colour, lineWidth: 1.5, opacity: 0.6 };
      const line = (x1: number, y1: number, x2: number, y2: number) => ({
        type: 'line',
        shape: { x1, y1, x2, y2 },
        style,
      });
      return {
        type: 'group',
        children: [line(x, top, x, bottom), line(x - 4, top, x + 4, top), line(x - 4, bottom, x + 4, bottom)],
      };
    },
  };
}

/** A thin line across at a value that means something. */
export function markAt(axis: 'xAxis' | 'yAxis', value: number, label = ''): object {
  return {
    silent: true,
    symbol: 'none',
    lineStyle: { color: colours.mark, type: 'dashed', width: 1 },
    label: { show: label !== '', formatter: label, position: 'start', fontSize: 11 },
    data: [{ [axis]: value }],
  };
}
