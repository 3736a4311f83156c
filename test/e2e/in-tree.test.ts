/**
 * The driver as a part of a kernel's source tree, Debian's 6.1: what Kconfig makes of it, and what is built then.
 * matrix.test.ts boots one with the driver in it.
 */
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { execa } from 'execa';
import { expect, onTestFinished, test } from 'vitest';
import { cacheFolder, checkout, sourceTree } from '../../kernel-shim/lab/artefacts.js';
import { orSkip } from './lab-machine.js';

/** On a machine where the kernel is still to be built. */
const TEST_MS = 2_400_000;

/** Builds the driver's folder with that setting. Resolves to what its frontswap.o needs from elsewhere. */
async function undefinedSymbols(tree: string, setting: 'y' | 'm'): Promise<string[]> {
  appendFileSync(path.join(tree, '.config'), `# CONFIG_ZSWAP is not set\nCONFIG_VIRTIO_TMEM=${setting}\n`);
  for (const targets of [['olddefconfig'], ['-j2', 'W=1', 'drivers/virtio/tmem/']]) {
    const made = await execa('make', ['-C', tree, ...targets], {
      reject: false,
      all: true,
      env: { LC_ALL: 'C' },
    });
    expect(made.exitCode, made.all).toBe(0);
    expect(made.all.split('\n').filter((line) => /tmem\/.*warning:/.test(line))).toEqual([]);
  }
  const config = readFileSync(path.join(tree, '.config'), 'utf8').split('\n');
  expect(config).toContain(`CONFIG_VIRTIO_TMEM=${setting}`);
  // Nothing else asks for it there.
  expect(config).toContain('CONFIG_FRONTSWAP=y');
  const object = path.join(tree, 'drivers/virtio/tmem/virtio_tmem_frontswap.o');
  const { stdout } = await execa('nm', ['--undefined-only', '--format=posix', object]);
  return stdout.split('\n').map((line) => line.split(' ')[0] ?? '');
}

test(
  'in a kernel tree: built in, the driver registers with frontswap; as a module it takes it over; without a warning',
  async ({ skip }) => {
    const built = await orSkip(sourceTree('6.1', new AbortController().signal), skip);
    const tree = mkdtempSync(path.join(cacheFolder(), 'tree-'));
    onTestFinished(() => rmSync(tree, { recursive: true, force: true }));
    // With its times, so that little is built anew.
    await execa('cp', ['-a', '--reflink=auto', `${built}/.`, tree]);
    const script = path.join(checkout, 'kernel-shim/lab/in-tree.sh');
    // Twice is as good as once.
    for (let round = 0; round < 2; round++) await execa('bash', [script, tree]);
    const lines = readFileSync(path.join(tree, 'drivers/virtio/Makefile'), 'utf8').split('\n');
    expect(lines.filter((line) => line === 'obj-y += tmem/').length).toBe(1);

    const asModule = await undefinedSymbols(tree, 'm');
    expect(asModule).toContain('vtmem_frontswap_take');
    expect(asModule).not.toContain('frontswap_register_ops');

    const builtIn = await undefinedSymbols(tree, 'y');
    expect(builtIn).toContain('frontswap_register_ops');
    expect(builtIn).not.toContain('vtmem_frontswap_take');
  },
  TEST_MS,
);
