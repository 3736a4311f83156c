/** The table of `--kernel all`. */
import { expect, test } from 'vitest';
import { formatKernels } from '../../../kernel-shim/lab/kernels.js';

test('what was skipped or failed says why, and is counted', () => {
  const text = formatKernels([
    { kernel: '6.1', personality: 'tmem', objections: [], skipped: 'cannot be fetched here' },
    { kernel: '6.12', personality: 'tmem', objections: ['1 of 9 pages are corrupt', 'more'] },
  ]);
  expect(text).toMatch(/│ 6\.1 .*│ skipped +│/);
  expect(text).toMatch(/│ 6\.12 .*│ failed +│/);
  expect(text).toMatch(/^6\.1: skipped: cannot be fetched here$/m);
  expect(text).toMatch(/^6\.12: failed: 1 of 9 pages are corrupt$/m);
  expect(text).toMatch(/^6\.12: failed: more$/m);
  expect(text).toContain('0 passed, 1 failed, 1 skipped');
});
