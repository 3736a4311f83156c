/**
 * One run of the lab, first to last: artefacts, accelerator, with --baseline the guest that swaps to its disk alone,
 * then service and guest together.
 *
 * Sockets live in a folder under the system's temporary one, because their paths must be short; the swap disk in the
 * cache, because cache=none needs a real file system; logs in the cache's `runs`, where they stay.
 */
import { mkdir, mkdtemp, open, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseSizeBytes } from '../../src/config/quantity.js';
import { chooseAccelerator } from './accelerator.js';
import { makeArtefacts } from './artefacts.js';
import type { Closers } from './closers.js';
import { makeFileDisk } from './file-disk.js';
import { GuestReport } from './guest-report.js';
import { complaintsIn } from './kernel-log.js';
import { type GuestRun, runGuest } from './machine.js';
import { type LabOptions, reserve } from './options.js';
import {
  cleancacheResult,
  comparison,
  driverResult,
  frontEndResult,
  type GuestResult,
  guestResult,
  type LabResult,
} from './result.js';
import { startService } from './service.js';
import { heldPages, operations } from './service-report.js';

export interface LabSurroundings {
  cache: string;
  closers: Closers;
  signal: AbortSignal;
  /** Progress, a line at a time. */
  say: (text: string) => void;
}

const workloadProcesses = 2;

const keptRuns = 20;
const guestName = 'guest';

/** A folder for this run's logs; the oldest runs' go. */
async function makeRunFolder(cache: string): Promise<string> {
  const runs = path.join(cache, 'runs');
  await mkdir(runs, { recursive: true });
  const stale = (await readdir(runs)).sort().slice(0, -keptRuns);
  for (const name of stale) await rm(path.join(runs, name), { recursive: true, force: true });
  const now = new Date().toISOString().replace(/\W/g, '').slice(0, 15);
  return mkdtemp(path.join(runs, `${now}-`));
}

/** Takes all of the workload. */
const diskMiB = (workloadMiB: number): number => workloadMiB + 128;

/** A sparse file. */
async function makeSwapDisk(file: string, workloadMiB: number): Promise<void> {
  const disk = await open(file, 'w', 0o600);
  await disk.truncate(diskMiB(workloadMiB) * 2 ** 20);
  await disk.close();
}

/** What every guest of this run has in common. */
type CommonRun = Omit<GuestRun, 'mode' | 'onLine' | 'consolePath' | 'swapDiskPath' | 'fileDiskPath'>;

interface Follow {
  name: string;
  runFolder: string;
  /** Called when the workload holds all its memory, and when it has let go of it. */
  onHeld?: () => Promise<void>;
  onDone?: () => Promise<void>;
}

/** Runs the workload in a guest and reads off what it and its kernel found. */
async function runWorkload(
  common: CommonRun,
  surroundings: LabSurroundings,
  follow: Follow,
): Promise<{ report: GuestReport; guest: GuestResult }> {
  const report = new GuestReport();
  const swapDiskPath = path.join(follow.runFolder, 'swap.raw');
  const consolePath = path.join(follow.runFolder, `${follow.name}-console.log`);
  const { job, megabytes = 0, stream = 0 } = common.workload ?? {};
  const fileDiskPath = job === 'files' ? path.join(follow.runFolder, 'files.raw') : undefined;
  const removeDisks = async () => {
    for (const disk of [swapDiskPath, fileDiskPath]) if (disk !== undefined) await rm(disk, { force: true });
  };
  surroundings.closers.add(removeDisks);
  surroundings.say(`booting the guest (${follow.name}; console: ${consolePath})`);
  // With the service's disk there is no other to swap to.
  const ownDisk = common.diskPath === undefined;
  if (ownDisk) await makeSwapDisk(swapDiskPath, megabytes);
  if (fileDiskPath !== undefined) await makeFileDisk(fileDiskPath, diskMiB(megabytes + stream));
  const onLine = async (line: string) => {
    report.take(line);
    if (line.startsWith('phase ')) surroundings.say(`  ${line.slice('phase '.length)}`);
    if (line === 'held') await follow.onHeld?.();
    if (line.startsWith('done')) await follow.onDone?.();
  };
  const disks = { ...(ownDisk && { swapDiskPath }), ...(fileDiskPath !== undefined && { fileDiskPath }) };
  await runGuest({ ...common, ...disks, mode: 'run', consolePath, onLine });
  await removeDisks();
  return { report, guest: guestResult(report, complaintsIn(await readFile(consolePath, 'latin1'))) };
}

/** @returns nothing when there is no result: after --shell */
export async function runLab(
  options: LabOptions,
  surroundings: LabSurroundings,
): Promise<LabResult | undefined> {
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
    workload: {
      job: options.job,
      megabytes: options.workloadMiB,
      processes: workloadProcesses,
      stream: options.streamMiB,
      seed: options.seed,
    },
  };

  const baseline = options.baseline
    ? (await runWorkload(common, surroundings, { name: 'disk-alone', runFolder })).guest
    : undefined;

  const guaranteed = reserve(options);
  const service = await startService({
    folder: socketFolder,
    guestName,
    ...(options.memory === undefined ? {} : { memory: options.memory }),
    ...(options.personality === 'blk' && { diskMiB: diskMiB(options.workloadMiB) }),
    ...(guaranteed !== undefined && { reserve: guaranteed }),
    logPath: path.join(runFolder, 'service.log'),
    signal,
  });
  closers.add(() => service.close());
  const withDevice: CommonRun = {
    ...common,
    ...(options.personality === 'blk'
      ? { diskPath: service.devicePath }
      : { devicePath: service.devicePath, ...(options.frontEnd && { frontEnd: options.frontEnd }) }),
  };

  if (options.shell) {
    const swapDiskPath = path.join(runFolder, 'swap.raw');
    const ownDisk = withDevice.diskPath === undefined;
    closers.add(() => rm(swapDiskPath, { force: true }));
    if (ownDisk) await makeSwapDisk(swapDiskPath, options.workloadMiB);
    await runGuest({ ...withDevice, mode: 'shell', ...(ownDisk && { swapDiskPath }), onLine: () => {} });
    return undefined;
  }

  let held: Awaited<ReturnType<typeof heldPages>> | undefined;
  let done: Awaited<ReturnType<typeof operations>> | undefined;
  let violated = '';
  const { report, guest } = await runWorkload(withDevice, surroundings, {
    name: 'with-tmemd',
    runFolder,
    onHeld: async () => {
      violated = await service.check();
      held = await heldPages(service, guestName);
    },
    onDone: async () => {
      violated ||= await service.check();
      done = await operations(service, guestName);
    },
  });
  if (held === undefined || done === undefined) throw new Error('the guest gave no result');
  return {
    kernel: typeof kernel === 'string' ? kernel : kernel.image,
    personality: options.personality,
    release: report.release,
    front_end: report.frontEnd,
    reserve_bytes: parseSizeBytes(guaranteed ?? '0') ?? 0,
    job: options.job,
    accel: choice.accelerator,
    cpus: options.cpus,
    guest_memory_bytes: options.guestMemoryMiB * 2 ** 20,
    workload_bytes: options.workloadMiB * 2 ** 20,
    seed: options.seed,
    ...guest,
    ...frontEndResult(report),
    ...cleancacheResult(report),
    ...driverResult(report),
    ...held,
    ...done,
    invariants_violated: violated,
    ...(baseline === undefined ? {} : { baseline, ...comparison(options.job, guest, baseline) }),
  };
}
