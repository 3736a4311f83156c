/** The driver by the kernel's own measures: checkpatch and sparse, with the scripts of the lab's kernel. */
import { appendFileSync, cpSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { expect, onTestFinished, test } from 'vitest';
import { checkout, makeArtefacts } from '../../kernel-shim/lab/artefacts.js';

const TEST_MS = 900_000;
const driver = path.join(checkout, 'kernel-shim');

/** The driver is also built for kernels whose checkpatch asks for something else. */
const severalKernels = ['--ignore', 'CONSTANT_COMPARISON'];

async function kernelTree(): Promise<string> {
  const { kernelFolder } = await makeArtefacts('5.10', new AbortController().signal);
  return path.join(kernelFolder, 'build');
}

/** What is not there, as a reason to skip. */
async function missing(program: string): Promise<string | undefined> {
  const { failed } = await execa(program, ['--version'], { reject: false });
  return failed ? `${program} is not installed` : undefined;
}

/** A copy of the driver, as sparse's build leaves its objects where the sources are. */
function copyOfDriver(): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'tmemd-driver-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  for (const name of readdirSync(driver)) {
    if (/\.[ch]$|^Kbuild$|^features\.sh$|^include$/.test(name)) {
      cpSync(path.join(driver, name), path.join(folder, name), { recursive: true });
    }
  }
  return folder;
}

/** What checkpatch says about files, named as seen from the folder as it has its own rules for uapi headers. */
async function checkpatch(tree: string, folder: string, files: string[]): Promise<string[]> {
  const script = path.join(tree, 'scripts/checkpatch.pl');
  const run = await execa(
    'perl',
    [script, '--no-tree', '--strict', '--terse', ...severalKernels, '-f', ...files],
    {
      reject: false,
      cwd: folder,
      env: { LC_ALL: 'C' },
    },
  );
  // Exit status 1 is its way of saying that it found something.
  expect([0, 1], run.stderr).toContain(run.exitCode);
  return run.stdout.split('\n').filter((line) => line !== '' && !line.startsWith('total: '));
}

/** What sparse and the compiler with its extra warnings say, and how many files sparse read. */
async function sparse(tree: string, folder: string): Promise<{ said: string[]; checked: number }> {
  const run = await execa('make', ['-C', tree, `M=${folder}`, 'W=1', 'C=2', '-j2', 'modules'], {
    reject: false,
    all: true,
    env: { LC_ALL: 'C' },
  });
  expect(run.exitCode, run.all).toBe(0);
  const lines = run.all.split('\n');
  return {
    said: lines.filter((line) => /(warning|error):/.test(line)),
    checked: lines.filter((line) => /^ {2}CHECK /.test(line)).length,
  };
}

test(
  'checkpatch --strict has nothing to say about the driver, and finds what is wrong',
  async ({ skip }) => {
    const lacking = await missing('perl');
    if (lacking !== undefined) skip(lacking);
    const tree = await kernelTree();
    const folder = copyOfDriver();
    const sources = ['.', 'include/uapi/linux'].flatMap((place) =>
      readdirSync(path.join(folder, place))
        .filter((name) => /\.[ch]$/.test(name))
        .map((name) => path.join(place, name)),
    );
    expect(sources.length).toBeGreaterThan(10);
    expect(await checkpatch(tree, folder, sources)).toEqual([]);

    const wrong = '// SPDX-License-Identifier: GPL-2.0\nint f(void)\n{\n    return(1);\n}\n';
    writeFileSync(path.join(folder, 'wrong.c'), wrong);
    expect((await checkpatch(tree, folder, ['wrong.c'])).length).toBeGreaterThan(0);
  },
  TEST_MS,
);

test(
  'sparse and the compiler’s extra warnings have nothing to say about the driver, and find what is wrong',
  async ({ skip }) => {
    const lacking = await missing('sparse');
    if (lacking !== undefined) skip(lacking);
    const tree = await kernelTree();
    const folder = copyOfDriver();
    const sources = readdirSync(folder).filter((name) => name.endsWith('.c'));
    // Kbuild leaves this one out for the kernel at hand.
    appendFileSync(path.join(folder, 'Kbuild'), 'virtio_tmem-y += virtio_tmem_takeover.o\n');
    const clean = await sparse(tree, folder);
    expect(clean.said).toEqual([]);
    expect(clean.checked).toBeGreaterThanOrEqual(sources.length);

    const wrong = [
      '#include <linux/types.h>',
      'u32 wrong(__le32 x);',
      'u32 wrong(__le32 x) { return x; }',
      '',
    ];
    writeFileSync(path.join(folder, 'wrong.c'), wrong.join('\n'));
    writeFileSync(path.join(folder, 'Kbuild'), 'obj-m := wrong.o\n');
    expect((await sparse(tree, folder)).said.join('\n')).toMatch(
      /wrong.c:3:.* warning: .*different base types/,
    );
  },
  TEST_MS,
);
