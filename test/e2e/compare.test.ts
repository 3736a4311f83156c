/** A job in every way there is, whole, in small guests: what each leaves behind and what an idle driver costs. */
import { execa } from 'execa';
import { expect, test } from 'vitest';
import type { Comparison } from '../../kernel-shim/lab/compare.js';

const TEST_MS = 900_000;

/** Runs `npm run guest -- --compare --json`, after its set-up, each way once. */
async function compare(...args: string[]): Promise<Comparison> {
  const lab = [
    'dist/kernel-shim/lab/guest.js',
    '--compare',
    '--trials',
    '1',
    '--guest-memory',
    '128',
    '--json',
  ];
  const run = await execa('node', [...lab, ...args], { reject: false });
  // Also of corrupt pages, complaints of a guest's kernel and a store that does not add up.
  expect(run.exitCode, run.stderr).toBe(0);
  return JSON.parse(run.stdout) as Comparison;
}

test(
  'a guest without need of memory asks the host for nothing and is not interrupted',
  async () => {
    const { ways, bars } = await compare('--job', 'cpu');
    expect(ways.map(({ pages_checked }) => pages_checked > 0)).toEqual([true, true]);
    expect(bars.map(({ reached }) => reached)).toEqual([0, 0]);
  },
  TEST_MS,
);

test(
  'anonymous memory: every way keeps every page, on its disk, in the store or in the guest',
  async () => {
    const { ways } = await compare('--workload', '160');
    const guestBytes = 128 * 2 ** 20;
    const [disk, notWaited, waited, zram, blk, writeback] = ways;
    expect(ways).toHaveLength(6);
    for (const way of ways) expect(way.pages_checked, way.way).toBeGreaterThanOrEqual((160 * 2 ** 20) / 4096);
    for (const way of [disk, blk, writeback]) expect(way?.swap_disk_writes, way?.way).toBeGreaterThan(0);
    expect(zram?.swap_disk_writes).toBe(0);
    expect(disk?.host_memory_bytes).toBe(guestBytes);
    for (const way of [notWaited, waited, blk, writeback])
      expect(way?.host_memory_bytes, way?.way).toBeGreaterThan(guestBytes);
    // Whole mebibytes.
    const memoryInAll = notWaited?.host_memory_bytes ?? Number.NaN;
    expect(zram?.guest_memory_bytes).toBe(Math.ceil(memoryInAll / 2 ** 20) * 2 ** 20);
  },
  TEST_MS,
);
