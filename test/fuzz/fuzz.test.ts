/**
 * Runs every fuzzer for TMEMD_FUZZ_SECONDS, a minute by default: those of the page path (libFuzzer, with the address
 * and undefined-behaviour sanitizers) from their kept corpora, and that of vhost-user messages. A find of the former fails the test with its report and the input, which
 * `build/fuzzer/fuzz/NAME_fuzz FILE` runs again.
 *
 * `build/fuzzer/fuzz/NAME_fuzz -merge=1 test/fuzz/corpus/NAME FOLDER` adds to the corpus what a longer run found new.
 */

import { readdirSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';

const SECONDS = Number(process.env.TMEMD_FUZZ_SECONDS ?? 60);
const FOLDER = 'build/fuzzer/fuzz';
/** As large as rings, requests and some data; guest memory is zeros behind it. */
const INPUT_BYTES_MAX = 6400;

const fuzzers = readdirSync(FOLDER).filter((name) => name.endsWith('_fuzz'));

describe('fuzzers find nothing', () => {
  test('every source of a fuzzer was built', () => {
    const sources = readdirSync('test/fuzz').filter((name) => name.endsWith('_fuzz.cc'));
    expect(fuzzers.sort()).toEqual(sources.map((name) => name.replace('.cc', '')).sort());
  });

  // Each has one thread: together they take no longer on two processors.
  test.concurrent.each(fuzzers)('%s', { timeout: (SECONDS + 240) * 1000 }, async (fuzzer) => {
    const seed = (Date.now() & 0x7fffffff) + fuzzers.indexOf(fuzzer);
    process.stderr.write(`${fuzzer}: -seed=${seed}\n`);
    const work = await mkdtemp(join(tmpdir(), 'tmemd-fuzz-'));
    const found = join(work, 'found');
    await mkdir(found);
    const run = await execa(
      `${FOLDER}/${fuzzer}`,
      [
        found,
        `test/fuzz/corpus/${fuzzer.replace(/_fuzz$/, '')}`,
        `-seed=${seed}`,
        `-max_total_time=${SECONDS}`,
        `-max_len=${INPUT_BYTES_MAX}`,
        '-timeout=60',
        '-print_final_stats=1',
        `-artifact_prefix=${work}/`,
      ],
      { reject: false, all: true },
    );
    expect(run.exitCode, `the input is in ${work}\n${run.all?.slice(-8000)}`).toBe(0);
    const executed = Number(/number_of_executed_units: (\d+)/.exec(run.all ?? '')?.[1]);
    expect(executed, 'inputs tried').toBeGreaterThan(readdirSync(found).length);
    process.stderr.write(`${fuzzer}: ${executed} inputs in ${SECONDS} s\n`);
    await rm(work, { recursive: true });
  });

  test.concurrent('front-end-fuzz', { timeout: (SECONDS + 240) * 1000 }, async () => {
    const run = await execa('node', ['dist/test/fuzz/front-end-fuzz.js', '--seconds', `${SECONDS}`], {
      reject: false,
      all: true,
    });
    expect(run.exitCode, run.all).toBe(0);
    expect(Number(/^(\d+) talks$/m.exec(run.stdout)?.[1]), 'talks').toBeGreaterThan(SECONDS);
    process.stderr.write(`front-end-fuzz: ${run.all.replaceAll('\n', ' ')}in ${SECONDS} s\n`);
  });
});
