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
