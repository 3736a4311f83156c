/** A report as a person or as a program reads it. */
import Table from 'cli-table3';

type Cell = string | number | boolean;

/** Nested members become `outer.inner` rows. */
function rows(report: object, prefix = ''): [name: string, value: Cell][] {
  return Object.entries(report).flatMap(([name, value]): [string, Cell][] => {
    if (typeof value === 'object' && value !== null) {
      if (isSpread(value)) return [[prefix + name, `${value.median} (${value.low} to ${value.high})`]];
      return rows(value, `${prefix}${name}.`);
    }
    return value === undefined ? [] : [[prefix + name, value as Cell]];
  });
}

function isSpread(value: object): value is { median: number; low: number; high: number } {
  return 'median' in value && 'low' in value && 'high' in value;
}

export function printReport(report: object, json: boolean): void {
  if (json) {
    process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
    return;
  }
  const table = new Table({ style: { head: [], border: [], compact: true } });
  for (const [name, value] of rows(report)) table.push([name, String(value)]);
  process.stdout.write(`${table.toString()}\n`);
}
