/**
 * Kills the engine's threads before chosen stores to the arena, in chosen schedules, and recovers what they leave: see the
 * head of `test/interleave/kill/kill.cc`. What fails is told with the command that does it again.
 */
import { existsSync } from 'node:fs';
import { execa } from 'execa';
import { expect, test } from 'vitest';

const PROGRAM = 'build/tests/interleave_kill';
const KILLS = 23_000;
/** Of processor time, at most; on a busy machine it takes longer. */
const SECONDS = 240;
const TEST_MS = 6 * SECONDS * 1000;

const title = 'of 23,000 kills between two stores none costs a page, a session or a pool';
// It is for one architecture, and built by gcc alone.
test.skipIf(process.arch !== 'x64' || !existsSync(PROGRAM))(title, { timeout: TEST_MS }, async () => {
  const seed = Date.now() % 0x7fffffff;
  const args = ['--seed', `${seed}`, '--kills', `${KILLS}`, '--seconds', `${SECONDS}`];
  const run = await execa(PROGRAM, args, { reject: false, all: true });
  expect(run.exitCode, run.all).toBe(0);
  expect(Number(/^(\d+) kills in/m.exec(run.all)?.[1]), run.all).toBeGreaterThanOrEqual(KILLS);
});
