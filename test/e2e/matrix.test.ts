/**
 * The main job on Debian's own kernels, as they are shipped: the driver built against their headers, its swap device
 * taking the pages, or frontswap where it can be taken over; and on 6.1 with the driver built in. 5.10, which the lab
 * builds, is in guest.test.ts, and here as somebody's own build.
 */
import path from 'node:path';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import { type Kernel, makeArtefacts } from '../../kernel-shim/lab/artefacts.js';
import type { LabResult } from '../../kernel-shim/lab/result.js';
import { artefactsOrSkip } from './lab-machine.js';

const minutes = 60_000;
const MEBIBYTE = 2 ** 20;

/** Runs the lab as `npm run guest -- --json` does. */
async function guest(...args: string[]): Promise<LabResult> {
  const run = await execa('node', ['dist/kernel-shim/lab/guest.js', '--json', ...args], { reject: false });
  expect(run.exitCode, run.stderr).toBe(0);
  return JSON.parse(run.stdout) as LabResult;
}

/** What holds where frontswap takes the pages and the store is large enough. */
function expectFrontswap(result: LabResult): void {
  expect(result.front_end).toBe('frontswap');
  expect(result.pages_corrupt).toBe(0);
  expect(result.pages_checked).toBeGreaterThan(result.workload_bytes / 4096);
  expect(result.log_complaints).toEqual([]);
  expect(result.invariants_violated).toBe('');
  expect(result.refused).toBe(0);
  expect(result.logical_bytes).toBeGreaterThan(48 * MEBIBYTE);
  expect(result.swap_disk_writes).toBeLessThanOrEqual(result.failed_stores);
  // What frontswap counts is what the service saw.
  expect(result.puts).toBeGreaterThanOrEqual(result.succ_stores);
  expect(result.gets).toBeGreaterThanOrEqual(result.loads);
  expect(result.loads).toBeGreaterThan(0);
  expect(result.flushes).toBeGreaterThan(0);
}

describe("a guest with one of Debian's kernels", () => {
  test.for<[Kernel, string]>([
    ['6.1', '6.1.'],
    ['6.12', '6.12.'],
    ['7.x', '7.'],
  ])(
    '%s: dkms builds the driver; the guest fills its swap device, then its disk; every page checks out',
    { timeout: 10 * minutes },
    async ([kernel, release], { skip }) => {
      // What cannot be fetched here is no failure; what does not build or boot is.
      const { kernelFolder } = await artefactsOrSkip(kernel, skip);

      const dkms = await execa('bash', ['kernel-shim/lab/dkms.sh', kernelFolder], { reject: false });
      expect(dkms.exitCode, dkms.stderr).toBe(0);
      expect(dkms.stdout).toContain('virtio_tmem.ko');

      const result = await guest('--kernel', kernel, '--workload', '320', '--reserve', '96MiB');
      expect(result.release.startsWith(release)).toBe(true);
      expect(result.front_end).toBe('swap-device');
      expect(result.pages_corrupt).toBe(0);
      expect(result.pages_checked).toBeGreaterThan(result.workload_bytes / 4096);
      expect(result.log_complaints).toEqual([]);
      expect(result.invariants_violated).toBe('');
      // Of the reserve nothing is refused, and the disk has no page more than that.
      expect(result.refused).toBe(0);
      expect(result.failed_stores).toBe(0);
      expect(result.logical_bytes).toBeLessThanOrEqual(96 * MEBIBYTE);
      expect(result.logical_bytes).toBeGreaterThan(48 * MEBIBYTE);
      expect(result.swap_disk_writes).toBeGreaterThan(0);
      // What the driver says it wrote and read is what the service saw.
      expect(result.puts - result.succ_stores).toBeLessThanOrEqual(1); // mkswap's, before the workload
      expect(result.gets).toBeGreaterThanOrEqual(result.loads);
      // Slots that swap lets go of do not stay on the host.
      expect(result.flushes).toBeGreaterThan(0);
    },
  );

  test('6.1-generic: dkms builds the driver; it takes frontswap from an idle zswap; every page checks out', {
    timeout: 10 * minutes,
  }, async ({ skip }) => {
    const { kernelFolder } = await artefactsOrSkip('6.1-generic', skip);
    const dkms = await execa('bash', ['kernel-shim/lab/dkms.sh', kernelFolder], { reject: false });
    expect(dkms.exitCode, dkms.stderr).toBe(0);

    const result = await guest('--kernel', '6.1-generic', '--guest-memory', '192', '--workload', '224');
    expect(result.release).toMatch(/^6\.1\..*-amd64$/);
    expectFrontswap(result);
  });

  test('6.1-in-tree: built in, the driver has frontswap before zswap; every page checks out', {
    timeout: 40 * minutes,
  }, async ({ skip }) => {
    await artefactsOrSkip('6.1-in-tree', skip);
    const result = await guest('--kernel', '6.1-in-tree', '--guest-memory', '128', '--workload', '192');
    expect(result.release).toMatch(/^6\.1\..*-tmemd$/);
    expectFrontswap(result);
  });

  test("a kernel of one's own: its image and its build folder are enough", {
    timeout: 10 * minutes,
  }, async () => {
    const { kernelFolder } = await makeArtefacts('5.10', new AbortController().signal);
    const image = path.join(kernelFolder, 'bzImage');
    const own = ['--kernel-image', image, '--kernel-build', path.join(kernelFolder, 'build')];
    const result = await guest(...own, '--front-end', 'swap-device', '--workload', '320');
    expect(result.kernel).toBe(image);
    expect(result.release).toMatch(/^5\.10\./);
    expect(result.front_end).toBe('swap-device');
    expect(result.pages_corrupt).toBe(0);
    expect(result.log_complaints).toEqual([]);
    expect(result.succ_stores).toBeGreaterThan(0);
    expect(result.swap_disk_writes).toBe(0);
  });
});
