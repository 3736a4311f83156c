/** A log that what happens over and over cannot flood: some lines, then counts, and nothing is lost of the sum. */
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { QuietLog } from '../../../src/guest/quiet-log.js';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function rig() {
  const lines: Record<string, unknown>[] = [];
  const logger = pino(
    { level: 'info', base: null },
    { write: (line: string) => lines.push(JSON.parse(line)) },
  );
  const log = new QuietLog(logger);
  const told = (message: string) =>
    lines
      .filter(({ msg }) => msg === message)
      .reduce((sum, { repeated }) => sum + ((repeated as number | undefined) ?? 1), 0);
  return { lines, log, told };
}

describe('a quiet log', () => {
  test('writes what happens a few times at once, each time', () => {
    const { lines, log } = rig();
    for (let i = 0; i < 5; i += 1) log.warn({ i }, 'again');
    expect(lines.map(({ i }) => i)).toEqual([0, 1, 2, 3, 4]);
  });

  test('tells of a million times in a few lines, and of every one of them', async () => {
    const { lines, log, told } = rig();
    for (let second = 0; second < 30; second += 1) {
      for (let i = 0; i < 33_333; i += 1) log.info({ second }, 'driver opened a session');
      log.info({ second }, 'driver opened a session', 100_000);
      await vi.advanceTimersByTimeAsync(1000);
    }
    log.close();
    expect(told('driver opened a session')).toBe(30 * 133_333);
    expect(lines.length).toBeLessThanOrEqual(3 * 6 + 6);
    expect(lines.at(-1)).toMatchObject({ second: 29, repeated: expect.any(Number), withinMs: 10_000 });
  });

  test('says the last line in the end, with the fields and the level it had', async () => {
    const { lines, log } = rig();
    for (let i = 0; i < 7; i += 1) log.warn({ i }, 'request refused');
    await vi.advanceTimersByTimeAsync(10_000);
    expect(lines.at(-1)).toMatchObject({ i: 6, repeated: 2, level: 40 });
    await vi.advanceTimersByTimeAsync(60_000);
    expect(lines).toHaveLength(6);
  });

  test('withholds no line because of others of another kind, or of another guest', () => {
    const { lines, log } = rig();
    const other = rig();
    for (let i = 0; i < 1000; i += 1) log.info({}, 'flood');
    log.error({}, 'disk lost');
    other.log.info({}, 'flood');
    expect(lines.map(({ msg }) => msg)).toEqual([...Array(5).fill('flood'), 'disk lost']);
    expect(other.lines).toHaveLength(1);
  });

  test('costs nothing for a level that is not written', () => {
    const { lines, log } = rig();
    for (let i = 0; i < 1000; i += 1) log.debug({}, 'detail');
    log.close();
    expect(lines).toEqual([]);
  });
});
