/** The ways in which a job can be run, for --compare: what the guest swaps to, or keeps its files in. */
import { execa } from 'execa';
import type { Lab } from './lab.js';
import type { LabOptions } from './options.js';
import type { Job } from './qemu.js';
import { type GuestResult, guestObjections, type LabResult, objections } from './result.js';
import { runGuestAlone, runWithService } from './run.js';

/** One run of one way. */
export interface WayRun {
  guest: GuestResult;
  /** With a service. */
  result?: LabResult;
  guest_memory_bytes: number;
  /** The guest's, and what the host keeps for it besides: in the store, or of its disk in the page cache. */
  host_memory_bytes: number;
  objections: string[];
}

/** @param earlier of the same trial, by the way's name */
type Run = (lab: Lab, earlier: ReadonlyMap<string, WayRun>) => Promise<WayRun>;

export interface Way {
  name: string;
  run: Run;
}

const mebibyte = 2 ** 20;

/** How much of a file the host has in its page cache. */
async function cachedBytes(file: string): Promise<number> {
  const { stdout } = await execa('fincore', ['--bytes', '--noheadings', '--output', 'RES', file]);
  return Number(stdout);
}

interface Alone {
  swapDiskCache?: 'writeback';
  memoryMiB?: number;
  zramMiB?: number;
}

async function alone(lab: Lab, name: string, changes: Alone = {}): Promise<WayRun> {
  let cached = 0;
  const { guest } = await runGuestAlone(lab, changes, {
    name,
    onHeld: async (swapDiskPath) => {
      if (changes.swapDiskCache === 'writeback') cached = await cachedBytes(swapDiskPath);
    },
  });
  const memory = (changes.memoryMiB ?? lab.options.guestMemoryMiB) * mebibyte;
  return {
    guest,
    guest_memory_bytes: memory,
    host_memory_bytes: memory + cached,
    objections: guestObjections(guest),
  };
}

async function withService(lab: Lab, name: string, changes: Partial<LabOptions> = {}): Promise<WayRun> {
  const { options, common } = lab;
  const roundTrips = options.job === 'swap' && changes.personality !== 'blk';
  const result = await runWithService(
    { ...lab, common: { ...common, roundTrips } },
    { ...options, ...changes },
    name,
  );
  return {
    guest: result,
    result,
    guest_memory_bytes: result.guest_memory_bytes,
    host_memory_bytes: result.guest_memory_bytes + result.stored_bytes,
    objections: objections(result),
  };
}

export const notWaitedFor = 'driver, stores not waited for';
export const waitedFor = 'driver, stores waited for';

/** All that is in the guest's memory and in the store, in one guest without a store. */
const zram: Run = async (lab, earlier) => {
  const bytes = earlier.get(notWaitedFor)?.host_memory_bytes ?? lab.options.guestMemoryMiB * mebibyte;
  const memoryMiB = Math.ceil(bytes / mebibyte);
  return alone(lab, 'zram', { memoryMiB, zramMiB: lab.options.workloadMiB });
};

/** The first of each is what the others are compared with. */
export const ways: Record<Job, readonly Way[]> = {
  swap: [
    { name: 'disk, cache=none', run: (lab) => alone(lab, 'disk-none') },
    {
      name: notWaitedFor,
      run: (lab) => withService(lab, 'driver-async', { reserve: `${lab.options.workloadMiB}MiB` }),
    },
    { name: waitedFor, run: (lab) => withService(lab, 'driver-sync', { reserve: '0' }) },
    { name: 'zram, as much memory in all', run: zram },
    { name: 'blk personality', run: (lab) => withService(lab, 'blk', { personality: 'blk' }) },
    {
      name: 'disk, cache=writeback',
      run: (lab) => alone(lab, 'disk-writeback', { swapDiskCache: 'writeback' }),
    },
  ],
  files: [
    { name: 'disk, cache=none', run: (lab) => alone(lab, 'disk-none') },
    { name: 'the same and cleancache', run: (lab) => withService(lab, 'cleancache') },
  ],
  cpu: [
    { name: 'without the device', run: (lab) => alone(lab, 'without') },
    { name: 'with the device', run: (lab) => withService(lab, 'with') },
  ],
};
