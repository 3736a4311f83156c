/** A document as a person reads it. */
import Table from 'cli-table3';
import type { Document } from './document.js';
import { type Figure, isSeries } from './figure.js';

export function formatDocument(document: Document): string {
  const { machine, kernel, node, commit, load, corpus, settings } = document;
  const lines = [
    `${document.bench}: commit ${commit}, ${machine}, Linux ${kernel}, Node ${node}, load ${load}`,
    `corpus ${corpus.name}, ${corpus.pages} pages; ${point(settings)}`,
  ];
  const table = new Table({
    head: ['', 'at', 'median', 'low', 'high'],
    colAligns: ['left', 'left', 'right', 'right', 'right'],
    style: { head: [], border: [], compact: true },
  });
  const shownHere = document.figures.filter(({ name }) => !isSeries(name));
  for (const figure of shownHere) table.push(row(figure));
  lines.push(table.toString());
  const left = document.figures.length - shownHere.length;
  if (left > 0) lines.push(`${left} samples over time: with --json, or in the chart`);
  for (const { name, reason } of document.skipped) lines.push(`skipped ${name}: ${reason}`);
  return `${lines.join('\n')}\n`;
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
