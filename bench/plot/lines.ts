/** Charts of something by something: depth, batch, threads, pages held, time. */
import type { Document } from '../document.js';
import type { Chart } from './render.js';
import { colours } from './render.js';
import { markAt, named, short, whiskers } from './series.js';

const HEIGHT_PX = 320;
const grid = { left: 70, right: 40, top: 75, bottom: 50 };
const across = { nameLocation: 'middle', nameGap: 45 };
const drawnIn = (colour: string) => ({ itemStyle: { color: colour }, lineStyle: { color: colour } });
const palette = [colours.put, colours.get, colours.memory];

interface ByAxis {
  id: string;
  title: string;
  /** Of the figures' points. */
  axis: string;
  axisName: string;
  unit: string;
  lines: { name: string; figure: string; of: string }[];
}

/** One line a figure, over the values an axis was measured at; nothing for a single value. */
export function byAxis(
  document: Document,
  { id, title, axis, axisName, unit, lines }: ByAxis,
): Chart | undefined {
  const drawn = lines.flatMap(({ name, figure, of }) => {
    const points = document.bench === of ? named(document, figure).filter(({ at }) => axis in at) : [];
    return points.length > 1 ? [{ name, points }] : [];
  });
  if (drawn.length === 0) return undefined;
  const places = [...new Set(drawn.flatMap(({ points }) => points.map(({ at }) => Number(at[axis]))))];
  places.sort((a, b) => a - b);
  return {
    id,
    title,
    document,
    heightPx: HEIGHT_PX,
    option: {
      grid,
      xAxis: {
        type: 'category',
        data: places.map(String),
        name: axisName,
        nameLocation: 'middle',
        nameGap: 30,
      },
      yAxis: { type: 'value', name: unit, min: 0, ...across },
      series: drawn.flatMap(({ name, points }, index) => [
        {
          type: 'line',
          name,
          ...drawnIn(palette[index] ?? colours.mark),
          symbolSize: 7,
          label: {
            show: true,
            position: 'top',
            formatter: ({ value }: { value: number[] }) => short(value[1] ?? 0),
          },
          data: points.map(({ at, median }) => [String(at[axis]), median]),
          markLine: markAt('yAxis', 1),
        },
        whiskers(
          points.map(({ at, low, high }) => ({ place: places.indexOf(Number(at[axis])), low, high })),
          palette[index] ?? colours.mark,
        ),
      ]),
    },
  };
}

/** Microseconds by pages held: what does not grow is what this is about. */
export function bySize(document: Document): Chart | undefined {
  const gets = named(document, 'scale_get_us');
  const lines = [
    { name: 'put', points: named(document, 'scale_put_us') },
    { name: 'get, one at a time', points: gets.filter(({ at }) => at.batch === 1) },
    { name: 'get, batches of 16', points: gets.filter(({ at }) => at.batch === 16) },
  ];
  if (document.bench !== 'scale' || (lines[0]?.points.length ?? 0) < 2) return undefined;
  return {
    id: 'scale',
    title: 'Engine alone, by pages held',
    document,
    heightPx: HEIGHT_PX,
    option: {
      grid,
      xAxis: {
        type: 'log',
        name: 'pages held',
        nameLocation: 'middle',
        nameGap: 30,
        axisLabel: { formatter: thousands },
      },
      yAxis: { type: 'value', name: 'µs a page', min: 0, ...across },
      series: lines.map(({ name, points }, index) => ({
        type: 'line',
        name,
        symbolSize: 7,
        label: {
          show: true,
          position: index === 2 ? 'bottom' : 'top',
          formatter: ({ value }: { value: number[] }) => short(value[1] ?? 0),
        },
        data: points.map(({ at, median }) => [at.held, median]),
      })),
    },
  };
}

function thousands(value: number): string {
  return value >= 1e6 ? `${value / 1e6} million` : value.toLocaleString('en');
}

/** Memory while the corpus is put, left alone, and nine tenths of it flushed. */
export function overTime(document: Document): Chart | undefined {
  const lines = [
    { name: 'used, as the store counts', points: named(document, 'timeline_used_bytes') },
    { name: 'resident', points: named(document, 'timeline_resident_bytes') },
  ];
  if (lines.some(({ points }) => points.length === 0)) return undefined;
  return {
    id: 'memory-over-time',
    title: 'Memory: filled, left alone, nine tenths flushed at random',
    document,
    heightPx: HEIGHT_PX,
    option: {
      grid,
      xAxis: {
        type: 'value',
        name: 'seconds',
        nameLocation: 'middle',
        nameGap: 30,
        max: 'dataMax',
        axisLabel: { formatter: short },
      },
      yAxis: { type: 'value', name: 'MiB', min: 0, ...across },
      series: lines.map(({ name, points }) => ({
        type: 'line',
        name,
        symbol: 'none',
        data: points.map(({ at, median }) => [at.seconds, median / 2 ** 20]),
      })),
    },
  };
}
