/**
 * Swapping under stress, many kinds of it in one boot: what kernel-shim/lab/stress does in a guest, and what the host
 * must have of it meanwhile. The workloads check each of their pages, and say in the kernel's log when one is wrong.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { makeFileDisk } from '../../kernel-shim/lab/file-disk.js';
import { complaintsIn } from '../../kernel-shim/lab/kernel-log.js';
import { Service } from '../mock/service.js';
import { artefactsOrSkip, CLEAN_UP_MS, prepareMachine } from './lab-machine.js';

const TEST_MS = 900_000;
const SWAP_MIB = 256;

/** The killed process had 12 MiB in swap. Processors keep up to 64 slots each that it has freed. */
const FEW_PAGES = 1024;

/** Every stress, and how it must end. */
const all = {
  driver: 'loaded',
  swapoff_while_swapping: 'done',
  late_driver: 'done',
  dropped_caches: 'done',
  late_driver_stores: expect.stringMatching(/^[1-9]\d*$/),
  group: 'done',
  forks: 'done',
  group_killed: expect.stringMatching(/^[1-9]\d*$/),
  killed: expect.stringMatching(/^([2-9]|\d{2,})$/),
  lost_loads: '0',
  kept_stores: '0',
  bad_responses: '0',
  flush_failures: '0',
  refused_error: '0',
};

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 120_000; Date.now() < end; await sleep(50)) {
    if (await holds()) return;
  }
  throw new Error(`not within 120 s: ${what}`);
}

const variants = [
  {
    title: '5.10, frontswap, one vCPU, a roomy store',
    kernel: '5.10',
    cpus: 1,
    memory: '256MiB',
    guest: {},
    kexec: true,
    found: { ...all, suspended: '3', unload: 'refused' },
  },
  {
    title: '5.10, frontswap, four vCPUs, a store too small',
    kernel: '5.10',
    cpus: 4,
    memory: '24MiB',
    guest: { reserve: '4MiB' },
    kexec: false,
    found: { ...all, suspended: '3', unload: 'refused' },
  },
  {
    title: '6.12, swap device, two vCPUs, a device too small',
    kernel: '6.12',
    cpus: 2,
    memory: '64MiB',
    guest: { reserve: '32MiB' },
    kexec: false,
    found: { ...all, unload: 'done' },
  },
] as const;

test.for(variants.map((variant) => [variant.title, variant] as const))(
  '%s',
  { timeout: TEST_MS },
  async ([, { kernel, cpus, memory, guest, kexec, found }], { skip }) => {
    const swapDevice = kernel === '6.12';
    const artefacts = await artefactsOrSkip(kernel, skip);
    const machine = await prepareMachine(artefacts, cpus, swapDevice ? 192 : 128);
    onTestFinished(machine.remove, CLEAN_UP_MS);
    const service = await Service.start({ memory, guests: { guest } });
    onTestFinished(async () => void (await service.stop()), CLEAN_UP_MS);
    const fileDiskPath = machine.disk('files', 64);
    await makeFileDisk(fileDiskPath, 64);
    const pages = async () => (await service.admin.guest('guest')).counters.persistentPages;

    const said: Record<string, string> = {};
    let before = 0;
    let lives = 0;
    let heldBeforeKexec = -1;
    let heldAfterKexec = -1;
    let secondLife: unknown;
    await machine.run({
      mode: 'stress',
      swapDiskPath: machine.disk('swap', SWAP_MIB),
      spareDiskPath: machine.disk('spare', SWAP_MIB),
      fileDiskPath,
      devicePath: service.socket('guest'),
      frontEnd: swapDevice ? 'swap-device' : 'frontswap',
      workload: { megabytes: 120, processes: 2, seed: 5, ...(kexec && { pause: 'fill' }) },
      timeoutSeconds: 800,
      async onLine(line) {
        const [word, name = '', ...value] = line.split(' ');
        if (line === 'up') lives++;
        if (word === 'stress') said[name] = value.join(' ');
        if (word === 'result') secondLife = JSON.parse(line.slice('result '.length)).pages_corrupt;
        if (line === 'held before_killed') before = await pages();
        if (line === 'held killed')
          await until('the host forgets what it had', async () => (await pages()) < before + FEW_PAGES);
        // mkswap's page stays on the swap device.
        const left = swapDevice ? 1 : 0;
        if (line === 'held off') await until('nothing is left', async () => (await pages()) === left);
        if (line === 'held kexec') heldBeforeKexec = await pages();
        // Before the second life's workload begins, and when it has ended.
        if (line === 'held' && heldAfterKexec < 0) heldAfterKexec = await pages();
      },
    });

    expect(said, machine.console().slice(-8000)).toEqual(found);
    const outOfMemory = /Out of memory: Killed process \d+ \(anonymous\)/;
    const complaints = complaintsIn(machine.console());
    expect(complaints.filter((line) => !outOfMemory.test(line))).toEqual([]);
    expect(complaints.length).toBeGreaterThan(0);
    expect(await service.admin.check()).toEqual({ ok: true, problem: '' });
    if (kexec) {
      expect(lives).toBe(2);
      expect(heldBeforeKexec).toBeGreaterThan(0);
      expect(heldAfterKexec).toBe(0);
      expect(secondLife).toBe(0);
    }
  },
);
