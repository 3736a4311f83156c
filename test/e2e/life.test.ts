/**
 * What a driver goes through besides swapping: kernel-shim/lab/life in a guest. It is unbound while a worker is about to
 * notify its device; its machine hibernates, or fails to, wakes up with fewer queues, and is rebooted in the midst of
 * swapping.
 */
import { expect, onTestFinished, test } from 'vitest';
import { complaintsIn } from '../../kernel-shim/lab/kernel-log.js';
import type { FrontEnd } from '../../kernel-shim/lab/qemu.js';
import { Service } from '../mock/service.js';
import { artefactsOrSkip, CLEAN_UP_MS, prepareMachine } from './lab-machine.js';

const TEST_MS = 600_000;
/** Enough for the image of its memory and for what is read back. */
const GUEST_MIB = 256;
const RESERVE_MIB = 64;

/** What a kernel says when the driver fails a page instead of waiting for the end. */
const lost = /DATA LOSS|Read-error on swap-device|Write-error on swap-device|writing page \d+/;

const ofTheDisk = {
  // Read and written at all, so many sectors; of a discard of 1 MiB.
  diskstats: '1 1 1 8192 1 2048',
  stall: 'loaded',
  unbound: '3',
  rings_freed_early: '0',
  hibernation_while_open: 'refused',
  hibernation_without_swap: 'refused',
  written_page_reads: 'as written',
  hibernation_tried: 'done',
  written_page_still_reads: 'as written',
  never_written_page_reads: 'zeros',
  hibernated: 'done',
  lost_page_reads: 'zeros',
  loads_of_lost_pages: '0',
  rewritten_page_reads: 'as written',
  lost_loads: '0',
};

const variants = [
  ['5.10, frontswap: it is rebooted in the midst of swapping', '5.10', 'frontswap', {}],
  [
    '6.12, the swap device: it is unbound, hibernates, and is rebooted in the midst of swapping',
    '6.12',
    'swap-device',
    ofTheDisk,
  ],
] as const;

test.for(variants)('%s', { timeout: TEST_MS }, async ([, kernel, frontEnd, found], { skip }) => {
  const artefacts = await artefactsOrSkip(kernel, skip);
  const machine = await prepareMachine(artefacts, 2, GUEST_MIB);
  onTestFinished(machine.remove, CLEAN_UP_MS);
  const service = await Service.start({ guests: { guest: { reserve: `${RESERVE_MIB}MiB` } } });
  onTestFinished(async () => void (await service.stop()), CLEAN_UP_MS);
  const swapDiskPath = machine.disk('swap', 512);

  const said: Record<string, string> = {};
  /** Resolves to the kernel's log. */
  const live = async (mode: 'life' | 'resume', requestQueues: number): Promise<string> => {
    await machine.run({
      mode,
      requestQueues,
      swapDiskPath,
      devicePath: service.socket('guest'),
      frontEnd: frontEnd as FrontEnd,
      // A ring that was freed can be told from one that was not.
      kernelWords: ['slub_debug=P'],
      timeoutSeconds: 400,
      onLine(line) {
        const [word, name = '', ...value] = line.split(' ');
        if (word === 'life') said[name] = value.join(' ');
      },
    });
    return machine.console();
  };

  const logs = [await live('life', 2)];
  if (frontEnd === 'swap-device') logs.push(await live('resume', 1));
  const log = logs.join('\n');
  expect(said, log.slice(-8000)).toEqual({ driver: 'loaded', rebooted: 'in the midst of it', ...found });

  expect(log).not.toMatch(lost);
  expect(complaintsIn(log)).toEqual([]);
  expect(await service.admin.check()).toEqual({ ok: true, problem: '' });
});
