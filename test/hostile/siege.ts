/**
 * Every attack of this folder over and over beside a victim, which measures what it notices:
 *
 *   node dist/test/hostile/siege.js [--minutes 20] [--attacks FILTER]
 *
 * Runs the suite as `npm test -- test/hostile` does, again and again; each scene has a victim (victim-process.ts)
 * beside its attackers, measured alone first. Prints the victim's p99s under attack as multiples of those alone, the
 * longest answer of the control plane, and what was refused or wrong. Exit status 1 when a page was wrong, a request
 * of the victim's refused, or a test of the suite failed.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { execa } from 'execa';
import { addNotice, count, emptyNotice, type Histogram, type Notice, quantileNs } from './notice.js';

const { minutes, attacks } = new Command()
  .option('--minutes <n>', 'how long', Number, 20)
  .option('--attacks <filter>', 'files of the suite', 'test/hostile')
  .parse()
  .opts<{ minutes: number; attacks: string }>();

const folder = mkdtempSync(join(tmpdir(), 'tmemd-siege-'));
const file = join(folder, 'notices');
let rounds = 0;
let failedRounds = 0;
for (const end = Date.now() + minutes * 60_000; Date.now() < end; rounds += 1) {
  const suite = await execa('npx', ['vitest', 'run', '--config', 'test/vitest.config.ts', attacks], {
    env: { TMEMD_SIEGE: file },
    reject: false,
    all: true,
  });
  if (suite.exitCode === 0) continue;
  failedRounds += 1;
  process.stderr.write(`${suite.all}\n`);
}
const total = emptyNotice();
for (const line of readFileSync(file, 'utf8').trim().split('\n'))
  addNotice(total, JSON.parse(line) as Notice);
rmSync(folder, { recursive: true });

const { alone, attacked } = total;
const us = (histogram: Histogram, part: number) => quantileNs(histogram, part) / 1000;
for (const what of ['putNs', 'getNs', 'askNs'] as const) {
  const [before, under] = [us(alone[what], 0.99), us(attacked[what], 0.99)];
  process.stdout.write(
    `${what.slice(0, -2)}: p99 ${before.toFixed(1)} us alone, ${under.toFixed(1)} us under attack, ` +
      `ratio ${(under / before).toFixed(2)}; p50 ${us(alone[what], 0.5).toFixed(1)}, ${us(attacked[what], 0.5).toFixed(1)}; ` +
      `longest ${us(attacked[what], 1).toFixed(0)} us of ${count(attacked[what])}\n`,
  );
}
process.stdout.write(
  `${rounds} rounds, ${failedRounds} with a failed test; ${attacked.failures} requests not OK, ${attacked.mismatches} wrong pages\n`,
);
process.exit(
  failedRounds + alone.failures + alone.mismatches + attacked.failures + attacked.mismatches > 0 ? 1 : 0,
);
