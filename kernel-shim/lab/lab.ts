/**
 * What the runs of one command share: artefacts, accelerator, folders.
 *
 * Sockets live in a folder under the system's temporary one, because their paths must be short; logs in the cache's
 * `runs`, where they stay.
 */
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { chooseAccelerator } from './accelerator.js';
import { makeArtefacts } from './artefacts.js';
import type { Closers } from './closers.js';
import type { GuestRun } from './machine.js';
import type { LabOptions } from './options.js';

export interface LabSurroundings {
  cache: string;
  closers: Closers;
  signal: AbortSignal;
  /** Progress, a line at a time. */
  say: (text: string) => void;
}

const workloadProcesses = 2;

const keptRuns = 20;

/** A folder for this run's logs; the oldest runs' go. */
async function makeRunFolder(cache: string): Promise<string> {
  const runs = path.join(cache, 'runs');
  await mkdir(runs, { recursive: true });
  const stale = (await readdir(runs)).sort().slice(0, -keptRuns);
  for (const name of stale) await rm(path.join(runs, name), { recursive: true, force: true });
  const now = new Date().toISOString().replace(/\W/g, '').slice(0, 15);
  return mkdtemp(path.join(runs, `${now}-`));
}

/** What every guest of a command has in common. */
export type CommonRun = Omit<GuestRun, 'mode' | 'onLine' | 'consolePath' | 'swapDiskPath' | 'fileDiskPath'>;

export interface Lab {
  options: LabOptions;
  surroundings: LabSurroundings;
  common: CommonRun;
  /** For this command's logs. */
  runFolder: string;
}

/** Makes what is missing and finds out how guests can be run here. */
export async function openLab(options: LabOptions, surroundings: LabSurroundings): Promise<Lab> {
  const { cache, closers, signal, say } = surroundings;
  const { kernel } = options;
  if (kernel === 'all') throw new Error('one kernel at a time');
  const { kernelFolder, initramfsPath, qemuCommand } = await makeArtefacts(kernel, signal);
  const socketFolder = await mkdtemp(path.join(tmpdir(), 'tmemd-'));
  closers.add(() => rm(socketFolder, { recursive: true, force: true }));
  const runFolder = await makeRunFolder(cache);
  const machine = {
    cpus: options.cpus,
    memoryMiB: options.guestMemoryMiB,
    kernelPath: path.join(kernelFolder, 'bzImage'),
    initramfsPath,
    qemuCommand,
    socketFolder,
    signal,
  };
  const probeConsole = path.join(runFolder, 'kvm-probe-console.log');
  const choice = await chooseAccelerator(cache, { ...machine, consolePath: probeConsole });
  if (choice.reason !== undefined) say(`software emulation (TCG): ${choice.reason}`);
  const common: CommonRun = {
    ...machine,
    accelerator: choice.accelerator,
    timeoutSeconds: options.timeoutSeconds,
    rootStays: options.personality === 'blk' || (options.compare && options.job === 'swap'),
    workload: {
      job: options.job,
      megabytes: options.workloadMiB,
      processes: workloadProcesses,
      stream: options.streamMiB,
      seed: options.seed,
    },
  };
  return { options, surroundings, common, runFolder };
}
