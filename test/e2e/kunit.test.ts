/** The driver's KUnit tests, run by the lab's own kernel. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { checkout, makeArtefacts } from '../../kernel-shim/lab/artefacts.js';
import { complaintsIn } from '../../kernel-shim/lab/kernel-log.js';
import { runScript } from './scripted-guest.js';

const TEST_MS = 900_000;

/** The cases as the source lists them, in order. */
function casesInSource(): string[] {
  const source = readFileSync(path.join(checkout, 'kernel-shim/virtio_tmem_test.c'), 'utf8');
  return [...source.matchAll(/^\tKUNIT_CASE\((\w+)\),$/gm)].map(([, name = '']) => name);
}

test(
  'every KUnit test of the driver passes in a guest, with a clean kernel log',
  async () => {
    const lines: string[] = [];
    const log = await runScript({
      artefacts: await makeArtefacts('5.10', new AbortController().signal),
      cpus: 1,
      memoryMiB: 128,
      mode: 'kunit',
      onLine: (line) => void lines.push(line),
    });
    const verdicts = lines.filter((line) => /^kunit +(not )?ok \d+ - vtmem_/.test(line));
    const cases = casesInSource();
    expect(cases.length).toBeGreaterThan(0);
    expect(verdicts, lines.join('\n')).toEqual(
      cases.map((name, index) => expect.stringMatching(`^kunit +ok ${index + 1} - ${name}$`)),
    );
    expect(complaintsIn(log)).toEqual([]);
  },
  TEST_MS,
);
