/**
 * Runs every test case of every native test binary, plain and under each sanitizer, as a test of its own.
 *
 * The binaries are doctest programs built by `test/run.sh`; a binary that cannot be listed fails the file. Of a run
 * whose filter named some (TMEMD_NATIVE_TESTS, names in a row) only these are run.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';

/** A case takes a minute at most; one that hangs is ended before vitest gives it up, so that what it said is shown. */
const CASE_MS = 600_000;
const TEST_MS = CASE_MS + 60_000;

const builds = [
  { title: 'plain', folder: 'build/tests' },
  { title: 'address and undefined-behaviour sanitizers', folder: 'build/address/tests' },
  { title: 'thread sanitizer', folder: 'build/thread/tests' },
];

const named = (process.env.TMEMD_NATIVE_TESTS ?? '').split(' ').filter((name) => name !== '');

function programs(folder: string): string[] {
  const built = readdirSync(folder).filter((name) => name.endsWith('_test'));
  return named.length === 0 ? built : built.filter((name) => named.includes(name));
}

function listCases(binary: string): string[] {
  const listing = execFileSync(binary, ['--list-test-cases', '--no-colors'], { encoding: 'utf8' });
  return listing.split('\n').filter((line) => line !== '' && !/^(\[doctest\]|=+$)/.test(line));
}

/** doctest reads commas as separators and `*` as a wildcard. */
function asFilter(name: string): string {
  return name.replaceAll(',', '?').replaceAll('\\', '?');
}

for (const { title, folder } of builds) {
  describe.skipIf(programs(folder).length === 0)(`native tests, ${title}`, () => {
    for (const program of programs(folder)) {
      const binary = `${folder}/${program}`;
      describe(program, () => {
        for (const name of listCases(binary)) {
          test(name, { timeout: TEST_MS }, async () => {
            const run = await execa(binary, [`--test-case=${asFilter(name)}`, '--no-colors'], {
              reject: false,
              all: true,
              timeout: CASE_MS,
              killSignal: 'SIGKILL',
              env: { TSAN_OPTIONS: 'halt_on_error=1', UBSAN_OPTIONS: 'print_stacktrace=1' },
            });
            expect(run.exitCode, run.timedOut ? `not within ${CASE_MS} ms: ${run.all}` : run.all).toBe(0);
            expect(run.all, 'the filter must select a case').toMatch(/test cases:\s+[1-9]/);
          });
        }
      });
    }
  });
}
