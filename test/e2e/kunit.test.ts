/** The driver's KUnit tests, run by the lab's own kernel. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { chooseAccelerator } from '../../kernel-shim/lab/accelerator.js';
import { cacheFolder, checkout, makeArtefacts } from '../../kernel-shim/lab/artefacts.js';
import { complaintsIn } from '../../kernel-shim/lab/kernel-log.js';
import { runGuest } from '../../kernel-shim/lab/machine.js';

const TEST_MS = 900_000;

/** The cases as the source lists them, in order. */
function casesInSource(): string[] {
  const source = readFileSync(path.join(checkout, 'kernel-shim/virtio_tmem_test.c'), 'utf8');
  return [...source.matchAll(/^\tKUNIT_CASE\((\w+)\),$/gm)].map(([, name = '']) => name);
}

test(
  'every KUnit test of the driver passes in a guest, with a clean kernel log',
  async () => {
    const { signal } = new AbortController();
    const { kernelFolder, initramfsPath, qemuCommand } = await makeArtefacts('5.10', signal);
    const folder = mkdtempSync(path.join(tmpdir(), 'tmemd-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const consolePath = path.join(folder, 'console.log');
    const machine = {
      cpus: 1,
      memoryMiB: 128,
      kernelPath: path.join(kernelFolder, 'bzImage'),
      initramfsPath,
      qemuCommand,
      socketFolder: folder,
      signal,
      consolePath,
    };
    const { accelerator } = await chooseAccelerator(cacheFolder(), machine);
    const lines: string[] = [];
    await runGuest({
      ...machine,
      accelerator,
      mode: 'kunit',
      timeoutSeconds: 200,
      onLine: (line) => void lines.push(line),
    });
    const verdicts = lines.filter((line) => /^kunit +(not )?ok \d+ - vtmem_/.test(line));
    const cases = casesInSource();
    expect(cases.length).toBeGreaterThan(0);
    expect(verdicts, lines.join('\n')).toEqual(
      cases.map((name, index) => expect.stringMatching(`^kunit +ok ${index + 1} - ${name}$`)),
    );
    expect(complaintsIn(readFileSync(consolePath, 'latin1'))).toEqual([]);
  },
  TEST_MS,
);
