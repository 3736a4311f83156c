/** A document as a person reads it. */
import Table from 'cli-table3';
import type { Document } from './document.js';
import { type Figure, isSeries } from './figure.js';

const style = { head: [], border: [], compact: true };

export function formatDocument(document: Document): string {
  const { machine, kernel, node, commit, load, corpus, settings } = document;
  const lines = [
    `${document.bench}: commit ${commit}, ${machine}, Linux ${kernel}, Node ${node}, load ${load}`,
    `corpus ${corpus.name}, ${corpus.pages} pages; ${point(settings)}`,
  ];
  const shownHere = document.figures.filter(({ name }) => !isSeries(name));
  lines.push(shownHere.every(({ at }) => 'depth' in at) ? byPoint(shownHere) : listed(shownHere));
  const left = document.figures.length - shownHere.length;
  if (left > 0) lines.push(`${left} samples over time: with --json, or in the chart`);
  for (const { name, reason } of document.skipped) lines.push(`skipped ${name}: ${reason}`);
  return `${lines.join('\n')}\n`;
}

/** A row a figure. */
function listed(figures: readonly Figure[]): string {
  const table = new Table({
    head: ['', 'at', 'median', 'low', 'high'],
    colAligns: ['left', 'left', 'right', 'right', 'right'],
    style,
  });
  for (const figure of figures) table.push(row(figure));
  return table.toString();
}

/** A column for each point all figures were measured at, such as a peer. */
function byPoint(figures: readonly Figure[]): string {
  const points = [...new Set(figures.map(({ at }) => point(at)))];
  const names = [...new Set(figures.map(({ name }) => name))];
  const table = new Table({
    head: ['', ...points.map((text) => text.replaceAll(', ', '\n'))],
    colAligns: ['left', ...points.map(() => 'right' as const)],
    style,
  });
  for (const name of names) {
    const cells = points.map((text) => {
      const found = figures.find((figure) => figure.name === name && point(figure.at) === text);
      if (!found) return '';
      const spread = name.endsWith('_ratio') ? `\n${shown(found.low)} to ${shown(found.high)}` : '';
      return `${shown(found.median)}${spread}`;
    });
    table.push([name, ...cells]);
  }
  return table.toString();
}

function row({ name, at, median, low, high }: Figure): string[] {
  const spread = low === high ? ['', ''] : [shown(low), shown(high)];
  return [name, point(at), shown(median), ...spread];
}

function point(at: Record<string, number | string>): string {
  return Object.entries(at)
    .map(([axis, value]) => `${axis} ${typeof value === 'number' ? shown(value) : value}`)
    .join(', ');
}

function shown(value: number): string {
  return Number.isInteger(value) ? value.toLocaleString('en') : String(Number(value.toPrecision(4)));
}
