/** cleancache, whole: a guest reads files larger than its page cache, changes them, and checks every page. */
import { execa } from 'execa';
import { afterEach, expect, test } from 'vitest';
import { complaintsIn } from '../../kernel-shim/lab/kernel-log.js';
import type { LabResult } from '../../kernel-shim/lab/result.js';
import { type DrivenGuest, prepareGuest } from './driven-guest.js';
import { CLEAN_UP_MS } from './lab-machine.js';

const TEST_MS = 600_000;

const say = (text: string) => process.stderr.write(`${text}\n`);

let guest: DrivenGuest | undefined;

afterEach(() => guest?.close(), CLEAN_UP_MS);

/** Runs `npm run guest -- --job files --json`, after its set-up, in a small guest. */
async function files(...args: string[]): Promise<LabResult> {
  const lab = ['dist/kernel-shim/lab/guest.js', '--json', '--job', 'files', '--guest-memory', '128'];
  const run = await execa('node', [...lab, ...args], { reject: false });
  expect(run.exitCode, run.stderr).toBe(0);
  const result = JSON.parse(run.stdout) as LabResult;
  expect(result.pages_corrupt).toBe(0);
  expect(result.log_complaints).toEqual([]);
  expect(result.invariants_violated).toBe('');
  return result;
}

/** The part of a phase's pages that did not come from the disk. */
function hitRate(result: LabResult, phase: string): number {
  const pages = result.workload_bytes / 4096;
  return 1 - (result.phase_sectors_read?.[phase] ?? Number.NaN) / 8 / pages;
}

test(
  'files twice the size of memory: at most 35 % of the sectors are read, and no change is missed',
  async () => {
    const result = await files('--baseline');
    say(
      `sectors read in three passes: ${result.baseline_sectors_ratio?.toFixed(3)} of those without; ` +
        `time: ${result.baseline_ratio?.toFixed(2)}`,
    );
    expect(result.baseline_sectors_ratio).toBeLessThanOrEqual(0.35);
    expect(result.clean_hits).toBeGreaterThan(0);
    // Of every page of the warming pass nothing was known: no request was made.
    expect(result.clean_filtered).toBeGreaterThanOrEqual(result.workload_bytes / 4096);
  },
  TEST_MS,
);

test(
  'a file larger than the store, read once, does not push out what is read again and again',
  async () => {
    const result = await files('--memory', '64MiB', '--workload', '96', '--stream', '256');
    const [before, after] = [hitRate(result, 'pass 3'), hitRate(result, 'after')];
    say(`pages not read from the disk: before ${before.toFixed(3)}, after ${after.toFixed(3)}`);
    expect(result.clean_rejected).toBeGreaterThan(0);
    expect(before).toBeGreaterThan(0.5);
    // Were every page put it would be 0.4: measured.
    expect(after).toBeGreaterThan(0.65);
  },
  TEST_MS,
);

test(
  'a service that is killed: the guest reads from its disk, and every page is right',
  async () => {
    const driven = await prepareGuest({}, { job: 'files' });
    guest = driven;
    driven.at('pass 1', async () => void process.kill(driven.service.pid, 'SIGKILL'));
    const report = await driven.run();
    expect(report.failure).toBeUndefined();
    expect(report.result?.pages_corrupt).toBe(0);
    expect(report.result?.pages_checked).toBeGreaterThan(0);
    expect(report.counted('virtio_tmem_clean_puts')).toBeGreaterThan(0);
    expect(complaintsIn(driven.console())).toEqual([]);
  },
  TEST_MS,
);
