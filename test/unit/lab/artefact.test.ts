/** The cache of artefacts: whole or not there, made once. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

const script = path.resolve('kernel-shim/lab/artefact.sh');

describe('artefacts', () => {
  let cache: string;
  beforeEach(() => {
    cache = path.join(mkdtempSync(path.join(tmpdir(), 'tmemd-test-')), 'with a blank');
  });
  afterEach(() => rmSync(path.dirname(cache), { recursive: true, maxRetries: 20 }));

  const run = (text: string) =>
    execa('bash', ['-c', `set -euo pipefail; . '${script}'; ${text}`], {
      env: { TMEMD_CACHE_DIR: cache },
      reject: false,
    });

  test('made once, its path printed and nothing else', async () => {
    const text = `make() { echo chatter; echo "$2" >"$1/file"; echo made >>'${cache}/times'; }; artefact thing k1 make content`;
    const first = await run(text);
    const second = await run(text);
    expect(first.stdout).toBe(path.join(cache, 'thing-k1'));
    expect(second.stdout).toBe(first.stdout);
    expect(readFileSync(path.join(first.stdout, 'file'), 'utf8')).toBe('content\n');
    expect(readFileSync(path.join(cache, 'times'), 'utf8')).toBe('made\n');
  });

  test('one that fails leaves nothing and shows the end of its log', async () => {
    const answer = await run(
      `make() { touch "$1/half"; echo the reason; false; echo not reached; }; artefact thing k1 make`,
    );
    expect(answer.exitCode).not.toBe(0);
    expect(answer.stderr).toContain('the reason');
    expect(answer.stderr).not.toContain('not reached');
    expect(readdirSync(cache).sort()).toEqual(['thing.lock', 'thing.log']);
  });

  test('what an interrupted run left is cleared by the next', async () => {
    await run(`make() { touch "$1/half"; kill -9 $$; sleep 1; }; artefact thing k1 make`);
    const answer = await run(`make() { touch "$1/whole"; }; artefact thing k1 make`);
    expect(readdirSync(answer.stdout)).toEqual(['whole']);
    expect(readdirSync(cache).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  test('what an interrupted run left and still writes to does not keep the next from its own', async () => {
    const left = `mkdir -p '${cache}/.thing.left'; (while [ -d '${cache}/.thing.left' ]; do mkdir -p '${cache}/.thing.left/'{1..50}; done) & writer=$!`;
    const answer = await run(
      `${left}; make() { touch "$1/whole"; }; artefact thing k1 make; kill $writer 2>/dev/null || true`,
    );
    expect(answer.exitCode, answer.stderr).toBe(0);
    expect(readdirSync(path.join(cache, 'thing-k1'))).toEqual(['whole']);
  });

  test('two runs at once make it once', async () => {
    const text = `make() { sleep 0.5; echo made >>'${cache}/times'; }; mkdir -p '${cache}'; artefact thing k1 make`;
    const [one, other] = await Promise.all([run(text), run(text)]);
    expect(one.stdout).toBe(other.stdout);
    expect(readFileSync(path.join(cache, 'times'), 'utf8')).toBe('made\n');
  });

  test('a key follows the content of files', async () => {
    const hash = (content: string) => run(`printf '${content}' >f; hash_of f 5.10; rm f`);
    expect((await hash('a')).stdout).toBe((await hash('a')).stdout);
    expect((await hash('a')).stdout).not.toBe((await hash('b')).stdout);
    expect(existsSync('f')).toBe(false);
  });
});
