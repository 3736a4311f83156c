/** A comparison for a person to read. */
import Table from 'cli-table3';
import type { Spread } from '../../bench/statistics.js';
import type { Bar } from './bars.js';
import type { Comparison } from './compare.js';
import { count, mebibytes, plain } from './table.js';

const withSpread = ({ median, low, high }: Spread, digits: number): string =>
  `${median.toFixed(digits)} (${low.toFixed(digits)}–${high.toFixed(digits)})`;

function waysTable(comparison: Comparison): string {
  const ofFiles = comparison.job === 'files';
  const disk = ofFiles ? ['read of files'] : ['disk reads', 'disk writes'];
  const head = ['', 'seconds', 'to the first', 'host memory', ...disk, 'corrupt pages'];
  const table = new Table({ ...plain, head, colAligns: head.map((name) => (name ? 'right' : 'left')) });
  for (const way of comparison.ways) {
    table.push([
      way.way,
      withSpread(way.seconds, 1),
      withSpread(way.ratio, 2),
      mebibytes(way.host_memory_bytes),
      ...(ofFiles
        ? [mebibytes(way.files_read_bytes ?? Number.NaN)]
        : [count(way.swap_disk_reads), count(way.swap_disk_writes)]),
      `${count(way.pages_corrupt)} of ${count(way.pages_checked)}`,
    ]);
  }
  return table.toString();
}

function barsTable(bars: readonly Bar[]): string {
  const table = new Table({
    ...plain,
    head: ['', 'reached', 'at most', ''],
    colAligns: ['left', 'right', 'right', 'left'],
  });
  for (const { what, unit, reached, atMost, met } of bars) {
    const shown = (value: number) => `${Number(value.toPrecision(3))}${unit && ` ${unit}`}`;
    table.push([what, shown(reached), shown(atMost), met ? 'met' : 'missed']);
  }
  return table.toString();
}

const footnotes: Record<Comparison['job'], string> = {
  swap:
    'Medians, lowest and highest. Host memory: the guest’s own, and what the store uses for its pages while the\n' +
    'workload holds them all, or what the host’s page cache has of its disk. The guest with zram has as much memory of\n' +
    'its own as the guest with stores not waited for and its store together. The blk personality’s disk is the service.',
  files: 'Seconds and what was read of files: in the three passes after the first.',
  cpu: 'The job computes on memory it has; nothing is swapped or read.',
};

export function formatComparison(comparison: Comparison): string {
  const { job, kernel, cpus, workload_bytes, accel, seed, trials } = comparison;
  return [
    `job ${job}, Linux ${kernel}, ${cpus} vCPU, ${mebibytes(workload_bytes)}, ${accel}, seed ${seed}, ${trials} trials`,
    waysTable(comparison),
    footnotes[job],
    barsTable(comparison.bars),
  ].join('\n');
}
