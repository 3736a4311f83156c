/** `--compare`: a job in every way there is, in turn, as often as asked; medians, and how they stand to the bars. */
import { median, pairwiseRatio, type Spread, spread } from '../../bench/statistics.js';
import { type Bar, barsOf } from './bars.js';
import { type LabSurroundings, openLab } from './lab.js';
import type { LabOptions } from './options.js';
import type { Job } from './qemu.js';
import { type GuestResult, passes } from './result.js';
import { type WayRun, ways } from './ways.js';

export interface WayOutcome {
  way: string;
  /** Of the job; of files: of the passes that are counted. */
  seconds: Spread;
  /** To the first way, of the same trial. */
  ratio: Spread;
  /** Medians, of requests. */
  swap_disk_reads: number;
  swap_disk_writes: number;
  /** Job files: bytes read from the disk with the files in the passes that are counted. */
  files_read_bytes?: number;
  guest_memory_bytes: number;
  host_memory_bytes: number;
  /** Of all trials. */
  pages_checked: number;
  pages_corrupt: number;
  objections: string[];
}

export interface Comparison {
  job: Job;
  kernel: string;
  accel: string;
  cpus: number;
  workload_bytes: number;
  seed: number;
  trials: number;
  ways: WayOutcome[];
  bars: Bar[];
}

const secondsOf = (job: Job, guest: GuestResult): number =>
  job === 'files' ? passes(guest).seconds : guest.seconds;

function outcomeOf(job: Job, way: string, runs: readonly WayRun[], first: readonly WayRun[]): WayOutcome {
  const seconds = (all: readonly WayRun[]) => all.map(({ guest }) => secondsOf(job, guest));
  const middle = (of: (run: WayRun) => number) => median(runs.map(of));
  return {
    way,
    seconds: spread(seconds(runs)),
    ratio: pairwiseRatio(seconds(runs), seconds(first)),
    swap_disk_reads: middle(({ guest }) => guest.swap_disk_reads),
    swap_disk_writes: middle(({ guest }) => guest.swap_disk_writes),
    ...(job === 'files' && { files_read_bytes: middle(({ guest }) => passes(guest).sectorsRead * 512) }),
    guest_memory_bytes: middle((run) => run.guest_memory_bytes),
    host_memory_bytes: middle((run) => run.host_memory_bytes),
    pages_checked: runs.reduce((sum, { guest }) => sum + guest.pages_checked, 0),
    pages_corrupt: runs.reduce((sum, { guest }) => sum + guest.pages_corrupt, 0),
    objections: runs.flatMap(({ objections }) => objections),
  };
}

export async function runComparison(options: LabOptions, surroundings: LabSurroundings): Promise<Comparison> {
  const lab = await openLab(options, surroundings);
  const { job, trials } = options;
  const runs = new Map<string, WayRun[]>(ways[job].map(({ name }) => [name, []]));
  for (let trial = 1; trial <= trials; trial++) {
    const earlier = new Map<string, WayRun>();
    for (const { name, run } of ways[job]) {
      surroundings.say(`trial ${trial} of ${trials}: ${name}`);
      const done = await run(lab, earlier);
      earlier.set(name, done);
      runs.get(name)?.push(done);
      surroundings.say(`  ${secondsOf(job, done.guest).toFixed(1)} s`);
    }
  }
  const first = runs.get(ways[job][0]?.name ?? '') ?? [];
  const outcomes = [...runs].map(([name, of]) => outcomeOf(job, name, of, first));
  return {
    job,
    kernel: String(options.kernel),
    accel: lab.common.accelerator,
    cpus: options.cpus,
    workload_bytes: options.workloadMiB * 2 ** 20,
    seed: options.seed,
    trials,
    ways: outcomes,
    bars: barsOf(job, outcomes, runs),
  };
}
