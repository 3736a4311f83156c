/** What every whole-guest test boots: one of the lab's kernels, in a machine with a folder and disks of its own. */
import { closeSync, ftruncateSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { chooseAccelerator } from '../../kernel-shim/lab/accelerator.js';
import {
  type Artefacts,
  cacheFolder,
  type Kernel,
  KernelUnavailable,
  makeArtefacts,
} from '../../kernel-shim/lab/artefacts.js';
import { type GuestRun, runGuest } from '../../kernel-shim/lab/machine.js';

const MEBIBYTE = 2 ** 20;

/** What is being made of a kernel; where its packages cannot be had the test is skipped with that reason. */
export function orSkip<Made>(making: Promise<Made>, skip: (reason: string) => never): Promise<Made> {
  return making.catch((error: unknown) => {
    if (error instanceof KernelUnavailable) return skip(error.message);
    throw error;
  });
}

/** A kernel of the lab, with what goes with it. */
export function artefactsOrSkip(kernel: Kernel, skip: (reason: string) => never): Promise<Artefacts> {
  return orSkip(makeArtefacts(kernel, new AbortController().signal), skip);
}

/** For a hook: on a busy machine a disk takes its time to go. */
export const CLEAN_UP_MS = 120_000;

export interface LabMachine {
  /** For sockets: its path is short. */
  folder: string;
  /** Makes a sparse disk, in a folder beside the cache: cache=none needs a real file system. @returns its path */
  disk(name: string, megabytes: number): string;
  /** From power-on to power-off. */
  run(guest: Omit<GuestRun, keyof Machine>): Promise<void>;
  /** The kernel's log so far. */
  console(): string;
  /** Cuts a guest that runs off. */
  cutOff(): void;
  /** Cuts it off, and removes what there is of it. */
  remove(): void;
}

type Machine = Pick<
  GuestRun,
  | 'accelerator'
  | 'cpus'
  | 'memoryMiB'
  | 'kernelPath'
  | 'initramfsPath'
  | 'qemuCommand'
  | 'socketFolder'
  | 'signal'
  | 'consolePath'
>;

export async function prepareMachine(
  { kernelFolder, initramfsPath, qemuCommand }: Artefacts,
  cpus: number,
  memoryMiB: number,
): Promise<LabMachine> {
  const aborted = new AbortController();
  const folder = mkdtempSync(path.join(tmpdir(), 'tmemd-'));
  const diskFolder = mkdtempSync(path.join(cacheFolder(), 'disks-'));
  const consolePath = path.join(folder, 'console.log');
  const machine = {
    cpus,
    memoryMiB,
    kernelPath: path.join(kernelFolder, 'bzImage'),
    initramfsPath,
    qemuCommand,
    socketFolder: folder,
    signal: aborted.signal,
    consolePath,
  };
  return {
    folder,
    disk(name, megabytes) {
      const file = path.join(diskFolder, `${name}.raw`);
      const disk = openSync(file, 'w', 0o600);
      ftruncateSync(disk, megabytes * MEBIBYTE);
      closeSync(disk);
      return file;
    },
    async run(guest) {
      const { accelerator } = await chooseAccelerator(cacheFolder(), machine);
      await runGuest({ ...machine, accelerator, ...guest });
    },
    console: () => readFileSync(consolePath, 'latin1'),
    cutOff: () => aborted.abort(),
    remove() {
      aborted.abort();
      for (const made of [folder, diskFolder]) rmSync(made, { recursive: true, force: true });
    },
  };
}
