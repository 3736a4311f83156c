/** A lab guest whose init runs one script or the KUnit tests, and says what it finds a line at a time. */
import { mkdtempSync, openSync, readFileSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { onTestFinished } from 'vitest';
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

export interface Script extends Pick<GuestRun, 'mode' | 'devicePath' | 'frontEnd' | 'workload'> {
  artefacts: Artefacts;
  cpus: number;
  memoryMiB: number;
  /** Absent: a guest without one. */
  swapDiskMiB?: number;
  /** Called with each line of the guest, and the reader of its kernel's log so far; the guest waits at "held". */
  onLine: (line: string, log: () => string) => Promise<void> | void;
}

/** Runs it in a guest from power-on to power-off. Resolves to the kernel's log. */
export async function runScript(script: Script): Promise<string> {
  const { artefacts, swapDiskMiB, onLine, ...run } = script;
  const folder = mkdtempSync(path.join(tmpdir(), 'tmemd-'));
  // Beside the cache: cache=none needs a real file system.
  const swapFolder = mkdtempSync(path.join(cacheFolder(), 'swap-'));
  onTestFinished(() => {
    for (const made of [folder, swapFolder]) rmSync(made, { recursive: true, force: true });
  });
  const swapDiskPath = path.join(swapFolder, 'swap.raw');
  if (swapDiskMiB !== undefined) {
    openSync(swapDiskPath, 'w', 0o600);
    truncateSync(swapDiskPath, swapDiskMiB * MEBIBYTE);
  }
  const consolePath = path.join(folder, 'console.log');
  const log = () => readFileSync(consolePath, 'latin1');
  const machine = {
    ...run,
    kernelPath: path.join(artefacts.kernelFolder, 'bzImage'),
    initramfsPath: artefacts.initramfsPath,
    qemuCommand: artefacts.qemuCommand,
    socketFolder: folder,
    signal: new AbortController().signal,
    consolePath,
  };
  const { accelerator } = await chooseAccelerator(cacheFolder(), machine);
  await runGuest({
    ...machine,
    accelerator,
    ...(swapDiskMiB !== undefined && { swapDiskPath }),
    timeoutSeconds: 400,
    onLine: (line) => onLine(line, log),
  });
  return log();
}
