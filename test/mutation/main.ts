/**
 * Breaks one important check after another, in a copy of the checkout, and runs the tests that should notice:
 *
 *   npm run mutation                  all of them: about a minute each, more on a busy machine
 *   npm run mutation -- WORD...       those whose check or file contains every WORD
 *
 * First the same tests run with nothing broken, and must pass. Then there is a line for each check with the test
 * that noticed, NOTHING, or why nothing need notice. A test that takes much longer than it did, because what is
 * broken never ends, has noticed too, and its line says so. Exits with 1 when nothing noticed something that is not
 * explained, when an explanation is out of date because something did notice, or when the list is wrong: code that
 * does not stand in its file exactly once (test/style sees that at once), or that does not compile when broken.
 *
 * The checks are in engine.ts, device.ts, control-plane.ts and driver.ts. A new check of that weight belongs there.
 */
import { readFile } from 'node:fs/promises';
import { build, refresh, run, write } from './copy.js';
import { MUTATIONS } from './list.js';
import { broken, type Mutation } from './mutation.js';

/** Of a test, beside five times what it takes with nothing broken. */
const LIMIT_MS = 30_000;

const say = (line: string) => process.stdout.write(`${line}\n`);

/** What each test may take. */
async function requireGreen(mutations: readonly Mutation[]): Promise<Map<string, number>> {
  const tests = [...new Set(mutations.flatMap((mutation) => mutation.tests))];
  await build(tests);
  const limits = new Map<string, number>();
  for (const test of tests) {
    const { passed, tookMs, said } = await run(test, 20 * LIMIT_MS);
    if (!passed) throw new Error(`${test} fails with nothing broken:\n${said.slice(-3000)}`);
    limits.set(test, LIMIT_MS + 5 * tookMs);
    say(`with nothing broken ${test} passes in ${(tookMs / 1000).toFixed(1)} s`);
  }
  return limits;
}

/** The test that noticed, if one did. */
async function noticedBy(mutation: Mutation, limits: Map<string, number>): Promise<string | undefined> {
  const whole = await readFile(mutation.file, 'utf8');
  await write(mutation.file, broken(whole, mutation));
  try {
    await build(mutation.tests);
    for (const test of mutation.tests) {
      const { passed, timedOut } = await run(test, limits.get(test) ?? LIMIT_MS);
      if (!passed) return timedOut ? `${test} (time limit)` : test;
    }
    return undefined;
  } finally {
    await write(mutation.file, whole);
  }
}

const words = process.argv.slice(2);
const wanted = MUTATIONS.filter(({ check, file }) =>
  words.every((word) => `${file} ${check}`.includes(word)),
);
await refresh();
const limits = await requireGreen(wanted);
const wrong: string[] = [];
let noticed = 0;
let explained = 0;
for (const [i, mutation] of wanted.entries()) {
  const name = `${mutation.file}: ${mutation.check}`;
  let by: string | undefined;
  try {
    by = await noticedBy(mutation, limits);
  } catch (error) {
    const { message } = error as Error;
    wrong.push(`${name}: ${message}`);
    say(`${i + 1}/${wanted.length}  ${name}  <-  the list is wrong: ${message}`);
    continue;
  }
  if (by) noticed += 1;
  else if (mutation.explained) explained += 1;
  else wrong.push(`${name}: nothing noticed`);
  if (by && mutation.explained) wrong.push(`${name}: explained, but noticed by ${by}`);
  const outcome = by ?? (mutation.explained ? `nothing: ${mutation.explained}` : 'NOTHING');
  say(`${i + 1}/${wanted.length}  ${name}  <-  ${outcome}`);
}
say(`${wanted.length} checks broken: ${noticed} noticed, ${explained} explained, ${wrong.length} wrong`);
for (const line of wrong) say(line);
process.exitCode = wrong.length > 0 || wanted.length === 0 ? 1 : 0;
