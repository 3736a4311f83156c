/** What a comparison's table says, and when a bar is met. */
import { describe, expect, test } from 'vitest';
import { barsOf } from '../../../kernel-shim/lab/bars.js';
import type { WayOutcome } from '../../../kernel-shim/lab/compare.js';
import { formatComparison } from '../../../kernel-shim/lab/compare-table.js';
import type { GuestResult, LabResult } from '../../../kernel-shim/lab/result.js';
import { notWaitedFor, type WayRun, waitedFor, ways } from '../../../kernel-shim/lab/ways.js';

const spread = (value: number) => ({ median: value, low: value - 0.1, high: value + 0.1 });

function outcome(way: string, ratio: number): WayOutcome {
  return {
    way,
    seconds: spread(20 * ratio),
    ratio: spread(ratio),
    swap_disk_reads: 1234,
    swap_disk_writes: 5678,
    guest_memory_bytes: 256 * 2 ** 20,
    host_memory_bytes: 448 * 2 ** 20,
    pages_checked: 600_000,
    pages_corrupt: 0,
    objections: [],
  };
}

const latency = (p50: number) => ({ count: 9, p50, p99: 4 * p50 });

/** A run, as far as the bars look at it. */
function run(result: Partial<LabResult>): WayRun {
  const whole = { kicks_per_operation: 0.5, interrupts_per_operation: 0.01, ...result } as LabResult;
  return { guest: whole, result: whole, guest_memory_bytes: 0, host_memory_bytes: 0, objections: [] };
}

const runs = (put: number, interrupts = 0.01) =>
  new Map([
    [notWaitedFor, [run({ latency_ns: { staged_put: latency(4100), copy: latency(2000) } })]],
    [
      waitedFor,
      [
        run({
          latency_ns: { put: latency(put), round_trip: latency(12_000) },
          service_put_p50_ns: 6000,
          interrupts_per_operation: interrupts,
        }),
      ],
    ],
  ]);

/** What is said of the bars whose name has `text`. */
const verdicts = (bars: ReturnType<typeof barsOf>, text: string) =>
  bars.filter(({ what }) => what.includes(text)).map(({ met }) => met);

describe('the bars of job swap', () => {
  const outcomes = [outcome('disk, cache=none', 1), outcome(notWaitedFor, 0.9)];

  test('a store that is waited for may take a round trip and twice the copy and the store’s work', () => {
    // 12 + 2 * (2 + 6) = 28 µs
    expect(verdicts(barsOf('swap', outcomes, runs(28_000)), 'get that misses')).toEqual([true]);
    expect(verdicts(barsOf('swap', outcomes, runs(28_001)), 'get that misses')).toEqual([false]);
  });

  test('one that is not waited for may take twice its copy', () => {
    expect(verdicts(barsOf('swap', outcomes, runs(1)), 'twice its copy')).toEqual([false]);
  });

  test('time, kicks and interrupts are judged', () => {
    const bars = barsOf('swap', outcomes, runs(1, 0.2));
    expect(verdicts(bars, 'elapsed')).toEqual([true]);
    expect(verdicts(bars, 'kicks')).toEqual([true, true]);
    expect(verdicts(bars, 'interrupts')).toEqual([false, true]);
    const slow = [outcome('disk, cache=none', 1), outcome(notWaitedFor, 1.01)];
    expect(verdicts(barsOf('swap', slow, runs(1)), 'elapsed')).toEqual([false]);
  });
});

test('files are judged by sectors and time, a job without need of memory by what it asked for', () => {
  const files = (sectors: number): WayRun => {
    const guest = { phase_sectors_read: { warm: 9, 'pass 1': sectors } } as unknown as GuestResult;
    return { ...run({}), guest };
  };
  const both = new Map([
    ['without', [files(100)]],
    ['with', [files(36)]],
  ]);
  const outcomes = [outcome('without', 1), outcome('with', 0.7)];
  expect(barsOf('files', outcomes, both).map(({ met }) => met)).toEqual([false, true]);

  const idle = (kicks: number) =>
    new Map([
      ['without', [files(0)]],
      [
        'with',
        [run({ kicks: 0, interrupts: 0, page_requests: 0 }), run({ kicks, interrupts: 0, page_requests: 0 })],
      ],
    ]);
  expect(barsOf('cpu', outcomes, idle(0)).map(({ met }) => met)).toEqual([true, true]);
  expect(barsOf('cpu', outcomes, idle(1)).map(({ met }) => met)).toEqual([false, true]);
});

test('zram comes after the run whose memory it is given', () => {
  const names = ways.swap.map(({ name }) => name);
  expect(names.indexOf('zram, as much memory in all')).toBeGreaterThan(names.indexOf(notWaitedFor));
});

test('the table has each way’s time with its spread, memory, disk requests and what was corrupt', () => {
  const outcomes = [outcome('disk, cache=none', 1), outcome(notWaitedFor, 0.9)];
  const text = formatComparison({
    job: 'swap',
    kernel: '5.10',
    accel: 'tcg',
    cpus: 2,
    workload_bytes: 640 * 2 ** 20,
    seed: 1,
    trials: 3,
    ways: outcomes,
    bars: barsOf('swap', outcomes, runs(1)),
  });
  for (const expected of [
    '3 trials',
    '20.0 (19.9–20.1)',
    '0.90 (0.80–1.00)',
    '448.0 MiB',
    '1,234',
    '5,678',
    '0 of 600,000',
  ])
    expect(text).toContain(expected);
  expect(text).toMatch(/twice its copy.*missed/);
  expect(text).toMatch(/elapsed.*met/);
});

test('of files the table tells what was read of them, not what was swapped', () => {
  const ways = [{ ...outcome('disk, cache=none', 1), files_read_bytes: 750 * 2 ** 20 }];
  const text = formatComparison({
    job: 'files',
    kernel: '5.10',
    accel: 'tcg',
    cpus: 2,
    workload_bytes: 256 * 2 ** 20,
    seed: 1,
    trials: 3,
    ways,
    bars: [],
  });
  expect(text).toMatch(/read of files.*\n.*\n?.*750\.0 MiB/);
  expect(text).not.toContain('1,234');
});
