/** From the guest's lines to the result, its verdict and its table. */
import { describe, expect, test } from 'vitest';
import { GuestReport } from '../../../kernel-shim/lab/guest-report.js';
import {
  cleancacheResult,
  comparison,
  driverResult,
  frontEndResult,
  guestResult,
  type LabResult,
  objections,
  passes,
} from '../../../kernel-shim/lab/result.js';
import { formatResult } from '../../../kernel-shim/lab/table.js';

const lines = [
  'up',
  'counters before',
  'counter swap_disk_writes 3',
  'counter frontswap_succ_stores 10',
  'phase fill',
  'held',
  'phase release',
  'result {"seed":1,"megabytes":640,"processes":2,"pages_checked":204800,"pages_corrupt":0,' +
    '"phase_seconds":{"fill":4.5,"release":0.5},"seconds":5.0}',
  'counters after',
  'counter swap_disk_writes 7',
  'counter frontswap_succ_stores 1010',
  'done 0',
];

function report(...said: string[]): GuestReport {
  const made = new GuestReport();
  for (const line of said) made.take(line);
  return made;
}

const sound: LabResult = {
  ...guestResult(report(...lines), []),
  ...frontEndResult(report(...lines)),
  ...cleancacheResult(report(...lines)),
  ...driverResult(report(...lines)),
  ...{ puts: 1000, gets: 900, flushes: 1000, refused: 0, page_requests: 2900, service_put_p50_ns: 7000 },
  ...{
    same_filled: 15,
    dedup: 15,
    compressed: 60,
    raw: 10,
    stored_bytes: 2 ** 20,
    logical_bytes: 4 * 2 ** 20,
  },
  ...{
    kernel: '5.10',
    personality: 'tmem',
    release: '5.10.251-tmemd',
    front_end: 'frontswap',
    reserve_bytes: 0,
    job: 'swap',
    accel: 'tcg',
    cpus: 2,
    seed: 1,
    guest_memory_bytes: 2 ** 28,
    workload_bytes: 640 * 2 ** 20,
  },
  invariants_violated: '',
};

describe('the result of a run', () => {
  test('counters are by how much they grew', () => {
    expect(sound.swap_disk_writes).toBe(4);
    expect(sound.succ_stores).toBe(1000);
    expect(sound.loads).toBe(0);
  });

  test('latencies are read off the histograms, requests against operations', () => {
    const driver = driverResult(
      report(
        'counters before',
        'counter latency_put_1024 10',
        'counters after',
        'counter virtio_tmem_succ_stores 100',
        'counter virtio_tmem_kicks 50',
        'counter virtio_tmem_interrupts 1',
        'counter latency_put_1024 110',
        'counter latency_put_8192 98',
        'counter latency_put_65536 2',
      ),
    );
    expect(driver).toMatchObject({ kicks: 50, kicks_per_operation: 0.5, interrupts_per_operation: 0.01 });
    expect(driver.latency_ns).toEqual({ put: { count: 200, p50: 1024 + 128, p99: 8192 + 1024 } });
  });

  test('a guest that could not do its work, or said nothing, has none', () => {
    expect(() => guestResult(report('failed no swap disk'), [])).toThrow('no swap disk');
    expect(() => guestResult(report('up'), [])).toThrow('no result');
    expect(() => report('result {"seed":1}')).toThrow();
  });

  test('a sound run meets no objection; one without need of memory has nothing to put', () => {
    expect(objections(sound)).toEqual([]);
    expect(objections({ ...sound, job: 'cpu', puts: 0 })).toEqual([]);
  });

  test.each([
    ['a corrupt page', { pages_corrupt: 1 }, /1 of 204800 pages/],
    ['no page checked', { pages_checked: 0 }, /no page was checked/],
    ['a complaint of the kernel', { log_complaints: ['BUG: x'] }, /BUG: x/],
    ['a store that does not add up', { invariants_violated: 'used != data' }, /used != data/],
    ['a service nobody used', { puts: 0 }, /no page was put/],
    ['no page checked in the baseline', { baseline: { ...sound, pages_checked: 0 } }, /baseline: no page/],
    ['a corrupt page in the baseline', { baseline: { ...sound, pages_corrupt: 2 } }, /baseline: 2 of/],
  ])('%s is objected to', (_, change, expected) => {
    expect(objections({ ...sound, ...change }).join('\n')).toMatch(expected);
  });

  test('files are compared over the passes, by seconds and by sectors', () => {
    const files = (pass: number, sectors: number) => ({
      ...sound,
      phase_seconds: { warm: 100, 'pass 1': pass, 'pass 2': pass },
      phase_sectors_read: { warm: 1000, 'pass 1': sectors, 'pass 2': 0 },
    });
    expect(passes(files(3, 50))).toEqual({ seconds: 6, sectorsRead: 50 });
    const compared = comparison('files', files(3, 50), files(4, 500));
    expect(compared).toEqual({ baseline_ratio: 0.75, baseline_sectors_ratio: 0.1 });
    const text = formatResult({ ...files(3, 50), job: 'files', baseline: files(4, 500), ...compared });
    expect(text).toContain('sectors read against the disk alone: 0.10');
  });

  test('the table shows a share, a size and, with a baseline, both columns and the ratio', () => {
    const text = formatResult({ ...sound, baseline: { ...sound, seconds: 10 }, baseline_ratio: 0.5 });
    expect(text).toContain('same-filled');
    expect(text).toContain('15.0 %');
    expect(text).toContain('1.0 MiB');
    expect(text).toContain('disk alone');
    expect(text).toContain('0.50');
    expect(formatResult(sound)).not.toContain('disk alone');
  });
});
