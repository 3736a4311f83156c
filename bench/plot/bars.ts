/** What charts of lying bars are made of. */
import { short } from './series.js';

/** How wide a bar can get: the figures' axis. */
export const figureAxis = (name: string) => ({ type: 'value', name, nameLocation: 'middle', nameGap: 26 });

/** A bar for each name, the first at the top. */
export const nameAxis = (names: readonly (string | undefined)[]) => ({
  type: 'category',
  inverse: true,
  data: names,
});

/** A bar for each name, with its figure behind it. */
export const bar = (name: string, colour: string, data: readonly (number | undefined)[]) => ({
  type: 'bar',
  name,
  itemStyle: { color: colour },
  label: {
    show: true,
    position: 'right',
    formatter: ({ value }: { value: number }) => short(value),
    fontSize: 11,
  },
  data,
});
