/** The list of checks that `npm run mutation` breaks is true: see test/mutation/main.ts. */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { MUTATIONS } from '../mutation/list.js';
import { broken } from '../mutation/mutation.js';

const programs = (tests: readonly string[]) => tests.map((name) => name.split(' ')[0] ?? name);

function sourceOf(program: string): string {
  if (program === 'interleave') return 'test/interleave/interleave.cc';
  if (program === 'driver_ring_test') return 'test/driver-ring/driver_ring_test.cc';
  return program.endsWith('.ts') ? program : `test/native/${program}.cc`;
}

describe('the list of checks that are broken', () => {
  test('names code that stands in its file exactly once', () => {
    for (const mutation of MUTATIONS) {
      const text = readFileSync(mutation.file, 'utf8');
      expect(broken(text, mutation), mutation.check).not.toBe(text);
    }
  });

  test('names a test for each that is there', () => {
    for (const { check, tests } of MUTATIONS) {
      expect(tests, check).not.toEqual([]);
      for (const program of programs(tests))
        expect(existsSync(sourceOf(program)), `${check}: ${program}`).toBe(true);
    }
  });

  test('names each check once', () => {
    const names = MUTATIONS.map(({ check }) => check);
    expect(names).toEqual([...new Set(names)]);
  });
});
