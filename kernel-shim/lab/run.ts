/**
 * The two kinds of run: a guest alone, and service and guest together.
 *
 * Disks are made beside the logs in the cache, because cache=none needs a real file system, and removed after the run.
 */
import { open, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { parseSizeBytes } from '../../src/config/quantity.js';
import { Closers } from './closers.js';
import { makeFileDisk } from './file-disk.js';
import { GuestReport } from './guest-report.js';
import { complaintsIn } from './kernel-log.js';
import { type CommonRun, type Lab, type LabSurroundings, openLab } from './lab.js';
import { runGuest } from './machine.js';
import { frontEnd, type LabOptions, reserve } from './options.js';
import {
  cleancacheResult,
  comparison,
  driverResult,
  frontEndResult,
  type GuestResult,
  guestResult,
  type LabResult,
} from './result.js';
import { type LabService, startService } from './service.js';
import { heldPages, operations } from './service-report.js';

const guestName = 'guest';

/** Takes all of the workload. */
const diskMiB = (workloadMiB: number): number => workloadMiB + 128;

/** A sparse file. */
async function makeSwapDisk(file: string, workloadMiB: number): Promise<void> {
  const disk = await open(file, 'w', 0o600);
  await disk.truncate(diskMiB(workloadMiB) * 2 ** 20);
  await disk.close();
}

export interface Follow {
  /** Of the guest's console log. */
  name: string;
  /** Called when the workload holds all its memory, and when it has let go of it. */
  onHeld?: (swapDiskPath: string) => Promise<void>;
  onDone?: () => Promise<void>;
}

/** Runs the workload in a guest and reads off what it and its kernel found. */
export async function runGuestAlone(
  lab: Lab,
  changes: Partial<CommonRun>,
  follow: Follow,
): Promise<{ report: GuestReport; guest: GuestResult }> {
  const { runFolder, surroundings } = lab;
  const run = { ...lab.common, ...changes };
  const report = new GuestReport();
  const swapDiskPath = path.join(runFolder, 'swap.raw');
  const consolePath = path.join(runFolder, `${follow.name}-console.log`);
  const { job, megabytes = 0, stream = 0 } = run.workload ?? {};
  const fileDiskPath = job === 'files' ? path.join(runFolder, 'files.raw') : undefined;
  const removeDisks = async () => {
    for (const disk of [swapDiskPath, fileDiskPath]) if (disk !== undefined) await rm(disk, { force: true });
  };
  surroundings.closers.add(removeDisks);
  surroundings.say(`booting the guest (${follow.name}; console: ${consolePath})`);
  // With the service's disk there is no other to swap to.
  const ownDisk = run.diskPath === undefined;
  if (ownDisk) await makeSwapDisk(swapDiskPath, megabytes);
  if (fileDiskPath !== undefined) await makeFileDisk(fileDiskPath, diskMiB(megabytes + stream));
  const onLine = async (line: string) => {
    report.take(line);
    if (line.startsWith('phase ')) surroundings.say(`  ${line.slice('phase '.length)}`);
    if (line === 'held') await follow.onHeld?.(swapDiskPath);
    if (line.startsWith('done')) await follow.onDone?.();
  };
  const disks = { ...(ownDisk && { swapDiskPath }), ...(fileDiskPath !== undefined && { fileDiskPath }) };
  await runGuest({ ...run, ...disks, mode: 'run', consolePath, onLine });
  await removeDisks();
  return { report, guest: guestResult(report, complaintsIn(await readFile(consolePath, 'latin1'))) };
}

/** The service as `options` want it, and what its guest needs to find it. */
async function startedService(
  lab: Lab,
  options: LabOptions,
  closers: Closers,
): Promise<{ service: LabService; device: Partial<CommonRun> }> {
  const guaranteed = reserve(options);
  const frontEndWanted = frontEnd(options);
  const service = await startService({
    folder: lab.common.socketFolder,
    guestName,
    ...(options.memory === undefined ? {} : { memory: options.memory }),
    ...(options.personality === 'blk' && { diskMiB: diskMiB(options.workloadMiB) }),
    ...(guaranteed !== undefined && { reserve: guaranteed }),
    logPath: path.join(lab.runFolder, 'service.log'),
    signal: lab.surroundings.signal,
  });
  closers.add(() => service.close());
  const device =
    options.personality === 'blk'
      ? { diskPath: service.devicePath }
      : { devicePath: service.devicePath, ...(frontEndWanted && { frontEnd: frontEndWanted }) };
  return { service, device };
}

/**
 * A service and a guest that uses it, from start to end of both.
 * @param options the lab's own, but for what the service and the device are like
 */
export async function runWithService(
  lab: Lab,
  options: LabOptions = lab.options,
  name = 'with-tmemd',
): Promise<LabResult> {
  const closers = new Closers();
  lab.surroundings.closers.add(() => closers.closeAll());
  const { service, device } = await startedService(lab, options, closers);
  let held: Awaited<ReturnType<typeof heldPages>> | undefined;
  let done: Awaited<ReturnType<typeof operations>> | undefined;
  let violated = '';
  const { report, guest } = await runGuestAlone(lab, device, {
    name,
    onHeld: async () => {
      violated = await service.check();
      held = await heldPages(service, guestName);
    },
    onDone: async () => {
      violated ||= await service.check();
      done = await operations(service, guestName);
    },
  });
  await closers.closeAll();
  if (held === undefined || done === undefined) throw new Error('the guest gave no result');
  const { kernel } = options;
  return {
    kernel: typeof kernel === 'string' ? kernel : kernel.image,
    personality: options.personality,
    release: report.release,
    front_end: report.frontEnd,
    reserve_bytes: parseSizeBytes(reserve(options) ?? '0') ?? 0,
    job: options.job,
    accel: lab.common.accelerator,
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
  };
}

/** A shell in the guest instead of the workload. */
async function runShell(lab: Lab): Promise<void> {
  const { closers } = lab.surroundings;
  const { device } = await startedService(lab, lab.options, closers);
  const swapDiskPath = path.join(lab.runFolder, 'swap.raw');
  const ownDisk = device.diskPath === undefined;
  closers.add(() => rm(swapDiskPath, { force: true }));
  if (ownDisk) await makeSwapDisk(swapDiskPath, lab.options.workloadMiB);
  const disk = ownDisk && { swapDiskPath };
  await runGuest({ ...lab.common, ...device, ...disk, mode: 'shell', onLine: () => {} });
}

/**
 * One run, with --baseline after one of a guest that has its disks alone.
 * @returns nothing when there is no result: after --shell
 */
export async function runLab(
  options: LabOptions,
  surroundings: LabSurroundings,
): Promise<LabResult | undefined> {
  const lab = await openLab(options, surroundings);
  if (options.shell) {
    await runShell(lab);
    return undefined;
  }
  const baseline = options.baseline
    ? (await runGuestAlone(lab, {}, { name: 'disk-alone' })).guest
    : undefined;
  const result = await runWithService(lab);
  return baseline === undefined
    ? result
    : { ...result, baseline, ...comparison(options.job, result, baseline) };
}
