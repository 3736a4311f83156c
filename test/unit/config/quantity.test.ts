/** Sizes and durations: what people write, and what is refused. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatSize, parseDurationMs, parseSizeBytes } from '../../../src/config/quantity.js';

describe('a size', () => {
  test.each([
    ['0', 0],
    ['4096', 4096],
    ['4096B', 4096],
    ['512K', 512 * 1024],
    ['512KiB', 512 * 1024],
    ['512MiB', 512 * 2 ** 20],
    ['512 mib', 512 * 2 ** 20],
    ['1G', 2 ** 30],
    ['1.5GiB', 1.5 * 2 ** 30],
    ['2T', 2 ** 41],
  ])('%s is understood', (text, sizeBytes) => {
    expect(parseSizeBytes(text)).toBe(sizeBytes);
  });

  test.each(['', '12Q', '1KB', '1GB', '-1', '1e9', '0x10', '1.3', 'MiB', '9999999T', '1 2', 'NaN', '1,5G'])(
    '%j is refused',
    (text) => {
      expect(parseSizeBytes(text)).toBeUndefined();
    },
  );

  test('of whole units survives being formatted and parsed', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1023 }), fc.integer({ min: 0, max: 4 }), (count, exponent) => {
        const sizeBytes = count * 1024 ** exponent;
        expect(parseSizeBytes(formatSize(sizeBytes))).toBe(sizeBytes);
      }),
    );
  });
});

describe('a duration', () => {
  test.each([
    ['0', 0],
    ['250ms', 250],
    ['30s', 30_000],
    ['1.5s', 1500],
    ['5m', 300_000],
    ['2h', 7_200_000],
    ['1d', 86_400_000],
  ])('%s is understood', (text, durationMs) => {
    expect(parseDurationMs(text)).toBe(durationMs);
  });

  test.each(['', '30', 's', '-1s', '1w', '1 hour', '1e3s'])('%j is refused', (text) => {
    expect(parseDurationMs(text)).toBeUndefined();
  });
});
