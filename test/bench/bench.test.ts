/** The bench's command line: that it measures, not how fast this machine is. */
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { chunks, shuffled } from '../../bench/corpus.js';
import { type Document, saveDocument } from '../../bench/document.js';
import type { Figure } from '../../bench/figure.js';
import { pairwiseRatio, quantile } from '../../bench/statistics.js';
import { packageRoot } from '../../src/native/load.js';

const main = join(packageRoot(), 'dist', 'bench', 'main.js');
const bench = (...args: string[]) => execa('node', [main, ...args], { reject: false });

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

describe('bench', () => {
  let results = '';
  beforeAll(() => {
    results = mkdtempSync(join(tmpdir(), 'tmemd-results-'));
  });
  afterAll(() => rmSync(results, { recursive: true, force: true }));

  const measured = async (...args: string[]): Promise<Document> => {
    const run = await bench(...args, '--json', '--pages', '2048', '--trials', '1', '--results', results);
    expect(run.exitCode, run.stderr).toBe(0);
    const document = JSON.parse(run.stdout) as Document;
    expect(document).toMatchObject({ schema: 1, bench: args[0], corpus: { pages: 2048 } });
    expect(document.commit).toMatch(/^[0-9a-f]{7,}\+?$|^unknown/);
    return document;
  };
  const value = (document: Document, name: string, at: Figure['at'] = {}): number => {
    const found = document.figures.find((one) => one.name === name && isDeepStrictEqual(one.at, at));
    expect(found, `${name} at ${JSON.stringify(at)}`).toBeDefined();
    return found?.median ?? Number.NaN;
  };

  test('device: each depth measured against the floor, every page compared', async () => {
    const document = await measured('device', '--corpus', 'bin', '--depth', '1,64');
    for (const depth of [1, 64]) {
      for (const name of [
        'put_us',
        'get_us',
        'floor_put_us',
        'floor_get_us',
        'put_ratio',
        'depth1_get_p99_us',
      ]) {
        expect(value(document, name, { depth }), name).toBeGreaterThan(0);
      }
    }
    expect(value(document, 'lz4_bytes', { depth: 64 })).toBeLessThan(4096);
  });

  test('store: every measure reports', async () => {
    const document = await measured('store', '--corpus', 'bin', '--object-pages', '4096');
    for (const name of ['put_growing', 'random_bytes_put', 'evicting_put']) {
      expect(value(document, `${name}_ratio`), name).toBeGreaterThan(0);
    }
    expect(value(document, 'get_ratio', { batch: 16 })).toBeGreaterThan(0);
    for (const batch of [1, 8]) {
      for (const name of ['put_warm', 'same_filled_put', 'duplicate_put']) {
        expect(value(document, `${name}_ratio`, { batch }), name).toBeGreaterThan(0);
      }
      expect(value(document, 'duplicates_found_share', { batch })).toBeGreaterThan(0.99);
    }
    expect(value(document, 'evicted_pages_a_put')).toBeGreaterThan(0.5);
    expect(value(document, 'flush_object_ns', { object_pages: 4096 })).toBeGreaterThan(0);
    expect(value(document, 'threads_speedup', { threads: 1 })).toBe(1);
    for (const operation of ['counters', 'pools', 'guests', 'reset', 'ephemeral_pool']) {
      for (const what of ['get', 'put']) {
        expect(value(document, `control_${operation}_${what}_p99_ratio`), operation).toBeGreaterThan(0);
      }
    }
  });

  test('density: mixes cost what is left of them, memory is sampled over time', async () => {
    const document = await measured('density', '--corpus', 'bin');
    const own = value(document, 'lz4_bytes', { mix: '0,0,0' });
    const withZeros = value(document, 'lz4_bytes', { mix: '50,0,0' });
    const withRandom = value(document, 'lz4_bytes', { mix: '0,0,50' });
    expect(withZeros).toBeLessThan(0.7 * own);
    expect(withRandom).toBeGreaterThan(own);
    expect(value(document, 'used_bytes', { mix: '50,0,0' })).toBeGreaterThan(withZeros);
    expect(value(document, 'density_settled', { cold_share: 1 })).toBeGreaterThan(0);
    expect(value(document, 'given_back_used_share')).toBeGreaterThan(0);
    const sizes = document.figures.filter(({ name }) => name === 'timeline_used_bytes');
    expect(sizes.length).toBeGreaterThan(30);
    expect(Math.max(...sizes.map(({ median }) => median))).toBeGreaterThan(2 * (sizes[0]?.median ?? 0));
  });

  test('churn and scale: from one corpus to another, at each size', async () => {
    const churn = await measured('churn', '--corpus', 'bin', '--later', 'text', '--steps', '10000');
    expect(value(churn, 'churn_density', { steps: 10_000 })).toBeGreaterThan(1);
    const scale = await measured('scale', '--corpus', 'bin', '--held', '4096,8192,4294967296');
    for (const held of [4096, 8192]) {
      expect(value(scale, 'scale_put_us', { held })).toBeGreaterThan(0);
      expect(value(scale, 'scale_get_us', { held, batch: 16 })).toBeGreaterThan(0);
    }
    // Four thousand million pages: more memory than any machine has.
    expect(scale.skipped).toEqual([
      {
        name: 'scale of 4294967296 pages',
        reason: expect.stringMatching(/^it takes \d+ MiB of memory, available: \d+ MiB$/),
      },
    ]);
  });

  test('peers: ours are measured, every other is too or says why not', async () => {
    const document = await measured('peers', '--corpus', 'bin');
    const found = new Set(document.figures.map((one) => one.at.peer));
    for (const name of ['floor', 'tmemd', 'tmemd disk']) expect(found).toContain(name);
    for (const name of ['zram', 'qemu-storage-daemon', 'redis', 'valkey', 'memcached']) {
      const skipped = document.skipped.find((one) => one.name === name);
      expect(found.has(name), `${name}: ${skipped?.reason}`).toBe(skipped === undefined);
    }
    expect(value(document, 'put_ratio', { peer: 'tmemd', depth: 64 })).toBeGreaterThan(0);
    expect(value(document, 'depth1_get_p50_us', { peer: 'tmemd disk', depth: 64 })).toBeGreaterThan(0);
  });

  test('peers: a server that is not installed is skipped with what to install', async () => {
    const path = mkdtempSync(join(results, 'path-'));
    symlinkSync('/bin/sh', join(path, 'sh'));
    const args = [
      'peers',
      '--json',
      '--corpus',
      'bin',
      '--pages',
      '2048',
      '--trials',
      '1',
      '--results',
      results,
    ];
    const run = await execa(process.execPath, [main, ...args], { reject: false, env: { PATH: path } });
    expect(run.exitCode, run.stderr).toBe(0);
    const { skipped } = JSON.parse(run.stdout) as Document;
    expect(skipped).toContainEqual({
      name: 'redis',
      reason: 'redis-server is not installed (apt-get install redis-server)',
    });
    expect(run.stderr).toContain('skipping memcached: memcached is not installed');
  });

  test('plot: one page that needs nothing else, a chart of whatever was measured', async () => {
    const folder = mkdtempSync(join(results, 'plot-'));
    const figures: Figure[] = [100_000, 8_000_000].flatMap((held) => [
      { name: 'scale_put_us', at: { held }, median: 6, low: 6, high: 6 },
      { name: 'scale_get_us', at: { held, batch: 1 }, median: 3, low: 3, high: 3 },
      { name: 'scale_get_us', at: { held, batch: 16 }, median: 2, low: 2, high: 2 },
    ]);
    const corpus = { name: '<node> & co', pages: 2048 };
    const where = { machine: 'M', kernel: 'K', node: 'N', commit: 'abcdef0', load: 0 };
    const common = { schema: 1 as const, bench: 'scale', ...where, corpus, settings: {}, skipped: [] };
    saveDocument({ ...common, taken_at: '2026-01-01T00:00:00Z', figures: [] }, folder);
    saveDocument({ ...common, taken_at: '2026-01-02T00:00:00Z', figures }, folder);
    const run = await bench('plot', '--results', folder, '--svg', join(folder, 'svg'));
    expect(run.exitCode, run.stderr).toBe(0);
    const [page = '', picture = '', ...more] = run.stdout.split('\n');
    expect(more).toEqual([]);
    const html = readFileSync(page, 'utf8');
    expect(html.match(/<svg/g)).toHaveLength(1);
    expect(html).toContain('Engine alone, by pages held');
    expect(html).toContain('corpus &lt;node&gt; &amp; co');
    expect(html).not.toContain('<node>');
    expect(html.replaceAll(/xmlns(:\w+)?="[^"]*"/g, '')).not.toMatch(/https?:|<script|<link/);
    expect(readFileSync(picture, 'utf8')).toMatch(/^<svg .*pages held/s);
  });

  test('plot: nothing to plot, or something that is no document, is refused', async () => {
    const folder = mkdtempSync(join(results, 'plot-'));
    const nothing = await bench('plot', '--results', folder);
    expect(nothing.exitCode).toBe(1);
    expect(nothing.stderr).toContain(`${folder} holds no documents`);
    writeFileSync(join(folder, 'other.json'), '{"schema": 7}');
    const other = await bench('plot', '--results', folder);
    expect(other.exitCode).toBe(1);
    expect(other.stderr).toContain('other.json is not a bench document of schema 1');
  });

  test('a readable table names machine, commit, corpus and settings', async () => {
    const args = ['scale', '--corpus', 'mix:10,20,30:bin', '--pages', '2048', '--held', '4096'];
    const run = await bench(...args, '--results', results);
    expect(run.exitCode, run.stderr).toBe(0);
    expect(run.stdout).toMatch(/^scale: commit \S+, .* Linux /);
    expect(run.stdout).toContain('corpus mix:10,20,30:bin, 2048 pages');
    expect(run.stdout).toMatch(/scale_put_us +│ held 4,096 +│ +[\d.]+ /);
    expect(run.stderr).toContain('trial 1 of 1');
  });

  test.each([
    [['device', '--pages', '3'], "'3' is invalid. allowed: an integer from 2048 to 16777216"],
    [['device', '--depth', '1000'], 'allowed: an integer from 1 to 85'],
    [['device', '--corpus', 'nothing'], 'corpus nothing: known are node, python'],
    [['density', '--corpus', 'mix:50,50,1:bin'], 'mix 50,50,1: allowed are three percentages'],
    [['density', '--corpus', 'file:/nonexistent'], 'cannot read /nonexistent'],
    [['fly'], "unknown command 'fly'"],
  ])('%j is refused in one line', async (args, reason) => {
    const run = await bench(...args);
    expect(run.exitCode).toBe(1);
    expect(run.stderr).toContain(reason);
    expect(run.stderr).not.toMatch(/^ +at /m);
    expect(run.stdout).toBe('');
  });
});
