/** The house rules that a machine can check, over every tracked file. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';

const tracked = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  encoding: 'utf8',
})
  .split('\n')
  .filter((path) => path !== '' && path !== 'package-lock.json');

const sources = tracked.filter((path) => /\.(ts|cc|h|c)$/.test(path));

describe('style', () => {
  test('biome finds nothing to say', async () => {
    const run = await execa('npx', ['biome', 'check', '--config-path=.biome.json'], {
      reject: false,
      all: true,
    });
    expect(run.exitCode, run.all).toBe(0);
  });

  test('the TypeScript compiles without an error', async () => {
    const run = await execa('npx', ['tsc', '--noEmit'], { reject: false, all: true });
    expect(run.exitCode, run.all).toBe(0);
  }, 120_000);

  test('every source file, or the header it implements, opens with a comment that says what it is', () => {
    const bare = sources.filter((path) => {
      if (sources.includes(path.replace(/\.cc?$/, '.h')) && !path.endsWith('.h')) return false;
      const lines = readFileSync(path, 'utf8')
        .split('\n')
        .filter((line) => !/^(#!|\/[/*] SPDX)/.test(line));
      return !/^\s*\/[/*]/.test(lines[0] ?? '');
    });
    expect(bare).toEqual([]);
  });

  test('no source file is longer than 800 lines', () => {
    const long = sources.filter((path) => readFileSync(path, 'utf8').split('\n').length > 800);
    expect(long).toEqual([]);
  });

  test('only the Node-API folders include napi.h', () => {
    const outside = sources.filter(
      (path) =>
        !/^(addon\/napi|test\/mock|bench\/peers\/napi)\//.test(path) &&
        /#include\s+[<"]napi\.h/.test(readFileSync(path, 'utf8')),
    );
    expect(outside).toEqual([]);
  });

  test('the root holds what it is agreed to hold', () => {
    const allowed =
      /^(package\.json|package-lock\.json|tsconfig\.json|README\.md|LICENSE|CHANGELOG\.md|CONTRIBUTING\.md|ARCHITECTURE\.md|docs|packaging|findings|src|kernel-shim|addon|test|bench|\.[a-z-]+.*)$/;
    const roots = [...new Set(tracked.map((path) => path.split('/')[0] ?? ''))];
    expect(roots.filter((name) => !allowed.test(name))).toEqual([]);
  });
});
