/** Quantiles of the driver's and the service's histograms. */
import { describe, expect, test } from 'vitest';
import { driverBuckets, quantile, serviceBuckets } from '../../../kernel-shim/lab/histogram.js';

describe('a quantile', () => {
  test('lies within the bucket that has it, as far in as its share', () => {
    const buckets = [
      { from: 0, to: 10, count: 10 },
      { from: 10, to: 20, count: 0 },
      { from: 20, to: 40, count: 10 },
    ];
    expect(quantile(buckets, 0.25)).toBe(5);
    expect(quantile(buckets, 0.5)).toBe(10);
    expect(quantile(buckets, 0.75)).toBe(30);
    expect(quantile(buckets, 1)).toBe(40);
  });

  test('of nothing is 0', () => {
    expect(quantile([], 0.5)).toBe(0);
    expect(quantile([{ from: 8, to: 9, count: 0 }], 0.5)).toBe(0);
  });
});

test('the driver has a nanosecond a bucket below 8, then 8 buckets for each power of two, in any order', () => {
  expect(driverBuckets({ '4096': 3, '7': 1, '8': 2, '15': 1, '9216': 4 })).toEqual([
    { from: 7, to: 8, count: 1 },
    { from: 8, to: 9, count: 2 },
    { from: 15, to: 16, count: 1 },
    { from: 4096, to: 4608, count: 3 },
    { from: 9216, to: 10240, count: 4 },
  ]);
});

test('the service’s last bucket ends at twice its start', () => {
  expect(serviceBuckets([512, 1024], [1, 2, 3])).toEqual([
    { from: 0, to: 512, count: 1 },
    { from: 512, to: 1024, count: 2 },
    { from: 1024, to: 2048, count: 3 },
  ]);
});
