/** The main job, whole: a QEMU guest under memory pressure swaps into the service, and every page is checked. */
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import type { LabResult } from '../../kernel-shim/lab/result.js';

const minutes = 60_000;

/** Runs the lab as `npm run guest -- --json` does, after its set-up. */
async function guest(...args: string[]): Promise<LabResult> {
  const run = await execa('node', ['dist/kernel-shim/lab/guest.js', '--json', ...args], { reject: false });
  expect(run.exitCode, run.stderr).toBe(0);
  return JSON.parse(run.stdout) as LabResult;
}

/** What holds for every run, whatever the guest and the store. */
function expectSound(result: LabResult): void {
  expect(result.pages_corrupt).toBe(0);
  // Every page once at the end, a quarter of them also before it is written anew.
  expect(result.pages_checked).toBeGreaterThan(result.workload_bytes / 4096);
  expect(result.log_complaints).toEqual([]);
  expect(result.invariants_violated).toBe('');
  expect(result.puts).toBeGreaterThan(0);
  // frontswap's own counters are plain increments: of several processors one that is held up in the midst of its own
  // undoes what the others counted meanwhile, hundreds in a time slice of the host.
  const lost = 1 + result.puts / 50;
  expect(Math.abs(result.puts - result.succ_stores)).toBeLessThan(lost);
  expect(Math.abs(result.refused - result.failed_stores)).toBeLessThan(lost);
}

describe('a guest that swaps into tmemd', () => {
  test(
    'two vCPUs and room: frontswap takes nearly everything and the swap disk is nearly idle',
    async () => {
      const result = await guest('--cpus', '2');
      expectSound(result);
      expect(result.succ_stores / (result.succ_stores + result.failed_stores)).toBeGreaterThanOrEqual(0.95);
      expect(result.swap_disk_writes).toBeLessThan(result.succ_stores / 100);
      expect(result.same_filled).toBeGreaterThan(0);
      expect(result.dedup).toBeGreaterThan(0);
      expect(result.compressed).toBeGreaterThan(0);
      expect(result.raw).toBeGreaterThan(0);
      expect(result.stored_bytes).toBeLessThan(result.logical_bytes);
    },
    10 * minutes,
  );

  test(
    'a store too small refuses, the swap disk takes the rest, and no page is lost',
    async () => {
      const result = await guest('--memory', '64MiB');
      expectSound(result);
      expect(result.refused).toBeGreaterThan(0);
      expect(result.swap_disk_writes).toBeGreaterThan(0);
      expect(result.stored_bytes).toBeLessThanOrEqual(64 * 2 ** 20);
    },
    10 * minutes,
  );

  test.each([1, 4])(
    '%i vCPU',
    async (cpus) => {
      const result = await guest('--cpus', `${cpus}`);
      expectSound(result);
      expect(result.cpus).toBe(cpus);
    },
    10 * minutes,
  );

  test(
    'with a disk of the service’s to swap to instead of the driver, as any guest can have',
    async () => {
      const args = ['--personality', 'blk', '--guest-memory', '128MiB', '--workload', '256MiB'];
      const result = await guest(...args);
      expect(result.pages_corrupt).toBe(0);
      expect(result.pages_checked).toBeGreaterThan(result.workload_bytes / 4096);
      expect(result.log_complaints).toEqual([]);
      expect(result.invariants_violated).toBe('');
      // Every page that went to the disk is in the store, and the clusters no longer wanted were discarded.
      expect(result.refused).toBe(0);
      expect(result.swap_disk_writes).toBeGreaterThan(0);
      expect(result.puts).toBeGreaterThanOrEqual(result.swap_disk_writes);
      expect(result.gets).toBeGreaterThan(0);
      expect(result.flushes).toBeGreaterThan(0);
      expect(result.succ_stores).toBe(0);
    },
    10 * minutes,
  );

  test('what cannot be is refused in one line, with nothing on stdout', async () => {
    const run = await execa('node', ['dist/kernel-shim/lab/guest.js', '--kernel', '4.4'], { reject: false });
    expect(run.exitCode).not.toBe(0);
    expect(run.stdout).toBe('');
    expect(run.stderr).toMatch(/^tmemd: .*--kernel.*4\.4.*5\.10.*$/);
  });
});
