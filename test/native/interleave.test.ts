/**
 * Drives the engine's threads through a million chosen schedules: see the heads of `test/interleave/interleave.cc` and
 * `addon/engine/interleave.h`. What fails is told with the command that does it again.
 */
import { execa } from 'execa';
import { expect, test } from 'vitest';

const PROGRAM = 'build/tests/interleave';
const SCHEDULES = 1_000_400;
/** Of processor time, at most; on a busy machine it takes longer. */
const SECONDS = 300;
const TEST_MS = 6 * SECONDS * 1000;

const title = 'of a million schedules of two to four threads none breaks what the store promises';
// It switches stacks by hand, for one architecture.
test.skipIf(process.arch !== 'x64')(title, { timeout: TEST_MS }, async () => {
  const seed = Date.now() % 0x7fffffff;
  const args = ['--refusals', '--seed', `${seed}`, '--schedules', `${SCHEDULES}`, '--seconds', `${SECONDS}`];
  const run = await execa(PROGRAM, args, { reject: false, all: true });
  expect(run.exitCode, run.all).toBe(0);
  expect(Number(/^(\d+) schedules in/m.exec(run.all)?.[1]), run.all).toBeGreaterThanOrEqual(SCHEDULES);
});
