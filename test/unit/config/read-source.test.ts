/** Where a configuration may come from, and how much of it is read. */
import { spawnSync } from 'node:child_process';
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readSource } from '../../../src/config/read-source.js';
import { main, scratchFolder } from '../fakes/service.js';

const refusal = /allowed: a TOML file or a pipe of at most 1MiB/;

test('a file of up to 1 MiB is read whole, one byte more is refused', () => {
  const file = join(scratchFolder(), 'c.toml');
  writeFileSync(file, `# ${'x'.repeat(2 ** 20 - 2)}`);
  expect(readSource(file)).toHaveLength(2 ** 20);
  truncateSync(file, 2 ** 20 + 1);
  expect(() => readSource(file)).toThrow(refusal);
});

test('a device that never ends is refused, one that holds nothing is an empty file', () => {
  expect(() => readSource('/dev/zero')).toThrow(refusal);
  expect(readSource('/dev/null')).toBe('');
});

test('a pipe of the shell is read to its end', () => {
  const script = 'exec node "$0" serve --config <(echo "[store"; echo "memroy")';
  const { status, stderr } = spawnSync('bash', ['-c', script, main], { encoding: 'utf8', timeout: 60_000 });
  expect(stderr).toMatch(/^tmemd: .*:1:\d+: not valid TOML: /);
  expect(status).toBe(2);
});
