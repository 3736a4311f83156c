/** The bench's command line: that it measures, not how fast this machine is. */
import { join } from 'node:path';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import { chunks, shuffled } from '../../bench/corpus.js';
import { pairwiseRatio, quantile } from '../../bench/statistics.js';
import { packageRoot } from '../../src/native/load.js';

const bench = (...args: string[]) =>
  execa('node', [join(packageRoot(), 'dist', 'bench', 'main.js'), ...args], { reject: false });

describe('statistics', () => {
  test('quantiles do not depend on the order of the values', () => {
    expect(quantile([3, 1, 2], 0.5)).toBe(2);
    expect(quantile([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 0.99)).toBe(10);
    expect(() => quantile([], 0.5)).toThrow('no values');
  });

  test('a ratio is of neighbours, so that a disturbance of both cancels out', () => {
    expect(pairwiseRatio([2, 20, 2], [1, 10, 1])).toEqual({ median: 2, low: 2, high: 2 });
  });
});

describe('random order', () => {
  test('holds every page once, the same again from the same seed, another from another', () => {
    const order = shuffled(1000, 7);
    expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: 1000 }, (_, page) => page));
    expect(shuffled(1000, 7)).toEqual(order);
    expect(shuffled(1000, 8)).not.toEqual(order);
  });

  test('is cut into whole chunks', () => {
    expect(chunks(shuffled(10, 1), 4).map((chunk) => chunk.length)).toEqual([4, 4]);
  });
});

describe('bench device', () => {
  test('reports the figures as one JSON document, every page compared', async () => {
    const run = await bench('device', '--json', '--corpus', 'bin', '--pages', '4096', '--trials', '2');
    expect(run.stderr).toContain('trial 2 of 2');
    expect(run.exitCode).toBe(0);
    const report = JSON.parse(run.stdout) as Record<string, unknown>;
    for (const name of ['put_us', 'get_us', 'floor_put_us', 'floor_get_us']) {
      expect(report[name], name).toBeGreaterThan(0);
    }
    expect(report).toMatchObject({ corpus: 'bin', depth: 64, trials: 2 });
    expect(report.commit).toMatch(/^[0-9a-f]{7,}\+?$|^unknown/);
  });

  test.each([
    [['device', '--pages', '3'], "'3' is invalid. allowed: an integer from 2048 to 16777216"],
    [['device', '--depth', '1000'], 'allowed: an integer from 1 to 85'],
    [['device', '--corpus', 'nothing'], 'corpus nothing: known are node, python'],
    [['fly'], "unknown command 'fly'"],
  ])('%j is refused in one line', async (args, reason) => {
    const run = await bench(...args);
    expect(run.exitCode).toBe(1);
    expect(run.stderr).toContain(reason);
    expect(run.stderr).not.toContain(' at ');
    expect(run.stdout).toBe('');
  });
});
