/** The command line of `npm run guest`. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { parseSizeBytes, sizeSyntax } from '../../src/config/quantity.js';
import { type Kernel, kernels, type OwnKernel } from './artefacts.js';
import { type FrontEnd, frontEnds, type Job } from './qemu.js';

/** What the guest can be made to do. */
export const jobs: readonly Job[] = ['swap', 'files', 'cpu'];

/** What the guest is shown. */
export const personalities = ['tmem', 'blk'] as const;

export interface LabOptions {
  personality: (typeof personalities)[number];
  /** Size of the service's store, in the service's own notation; absent: the service's default. */
  memory?: string;
  guestMemoryMiB: number;
  cpus: number;
  /** `all`: each in turn; an own build: its image and build folder. */
  kernel: Kernel | 'all' | OwnKernel;
  /** Absent: the driver's choice. */
  frontEnd?: FrontEnd;
  job: Job;
  /** Anonymous memory or files the workload touches; follows the guest's memory when not given. */
  workloadMiB: number;
  /** Of a file that job `files` reads once, in between; 0: none. */
  streamMiB: number;
  /** The guest's reserve in the service, in the service's own notation; absent: see reserve(). */
  reserve?: string;
  seed: number;
  baseline: boolean;
  /** Runs the job in several ways, `trials` times each, and compares them. */
  compare: boolean;
  trials: number;
  json: boolean;
  shell: boolean;
  /** A guest that takes longer is cut off. */
  timeoutSeconds: number;
}

/** 640 MiB of anonymous memory for a guest of 256 MiB, 512 MiB of files, 32 MiB to compute on, and in proportion. */
const workloadPerGuestMemory: Record<Job, number> = { swap: 2.5, files: 2, cpu: 0.125 };

const serviceDefaultMemory = '1GiB';

/** Kernels of the lab on which the driver is to use frontswap where nothing else is asked for. */
const frontswapKernels: readonly LabOptions['kernel'][] = [
  '5.10',
  '5.10-debug',
  '6.1-in-tree',
  '6.1-generic',
];

/** How the guest's driver is to take part in swapping; absent: as it chooses. */
export function frontEnd({ frontEnd, kernel }: LabOptions): FrontEnd | undefined {
  return frontEnd ?? (frontswapKernels.includes(kernel) ? 'frontswap' : undefined);
}

/** What the guest is guaranteed: a swap device as large as the workload, as far as the store can promise that. */
export function reserve(options: LabOptions): string | undefined {
  if (options.reserve !== undefined) return options.reserve;
  if (frontEnd(options) === 'frontswap' || options.personality === 'blk') return undefined;
  const storeBytes = parseSizeBytes(options.memory ?? serviceDefaultMemory) ?? 0;
  return `${Math.min(options.workloadMiB, Math.floor((storeBytes / 2 ** 20) * 0.75))}MiB`;
}

function integer(minimum: number, maximum: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < minimum || value > maximum) {
      throw new InvalidArgumentError(`Allowed: a whole number from ${minimum} to ${maximum}.`);
    }
    return value;
  };
}

/** `512MiB`, `2GiB`; a bare number is MiB. */
function mebibytes(minimum: number, maximum: number): (text: string) => number {
  return (text) => {
    const match = /^(\d+)(MiB|GiB)?$/.exec(text);
    const value = match ? Number(match[1]) * (match[2] === 'GiB' ? 1024 : 1) : Number.NaN;
    if (!(value >= minimum && value <= maximum)) {
      throw new InvalidArgumentError(`Allowed: ${minimum}MiB to ${maximum}MiB.`);
    }
    return value;
  };
}

function existingPath(text: string): string {
  if (!existsSync(text)) throw new InvalidArgumentError('There is no such file or folder.');
  return path.resolve(text);
}

/** Kept as it is for the service, which says how small a store may be. */
function serviceSize(text: string): string {
  if (parseSizeBytes(text) === undefined) throw new InvalidArgumentError(`Allowed: ${sizeSyntax}.`);
  return text;
}

/**
 * @param args what follows `npm run guest --`
 * @throws CommanderError with a one-line message; `code` `commander.helpDisplayed` after --help
 */
export function parseOptions(args: readonly string[]): LabOptions {
  const command = new Command('npm run guest --')
    .description('Boots a QEMU guest that swaps into tmemd, and checks every page.')
    .option(
      '--memory <size>',
      "size of the service's store, such as 64MiB; default: the service's own",
      serviceSize,
    )
    .option('--guest-memory <size>', "the guest's memory", mebibytes(128, 65536), 256)
    .option('--cpus <count>', "the guest's processors", integer(1, 16), 2)
    .addOption(
      new Option('--kernel <version>', "the guest's kernel").choices([...kernels, 'all']).default('5.10'),
    )
    .option('--kernel-image <path>', 'a bzImage of your own instead; with --kernel-build', existingPath)
    .option('--kernel-build <folder>', 'the build folder the module is made against', existingPath)
    .addOption(
      new Option('--personality <name>', 'what the guest is shown: the tmem device, or a disk it swaps to')
        .choices(personalities)
        .default('tmem'),
    )
    .addOption(
      new Option(
        '--front-end <name>',
        'how the guest hands pages out; default: frontswap where the kernel has it',
      ).choices(frontEnds),
    )
    .option(
      '--reserve <size>',
      'what the service guarantees the guest, and so the size of a swap device; ' +
        'default: the workload with a swap device (at most three quarters of the store), else none',
      serviceSize,
    )
    .addOption(
      new Option('--job <name>', 'what the guest does: swap, read files, or compute without need of memory')
        .choices([...jobs])
        .default('swap'),
    )
    .option(
      '--workload <size>',
      "memory or files the workload touches; default: 2.5 times the guest's memory, files twice, cpu an eighth",
      mebibytes(16, 1 << 18),
    )
    .option(
      '--stream <size>',
      'job files also reads a file of this size once, between other reads',
      mebibytes(1, 1 << 18),
    )
    .option(
      '--seed <number>',
      'what the content and the order of accesses follow from',
      integer(0, Number.MAX_SAFE_INTEGER),
      1,
    )
    .option('--baseline', 'also run the same guest with its disks alone, and compare', false)
    .option(
      '--compare',
      'run the job in every way there is, in turn: with its disk, zram, the blk personality, the driver',
      false,
    )
    .option('--trials <count>', 'how often --compare runs each', integer(1, 100), 3)
    .addOption(new Option('--json', 'print one JSON document on stdout').default(false).conflicts('shell'))
    .option('--shell', 'an interactive shell in the guest instead of the workload', false)
    .option('--timeout <seconds>', 'cut a guest off after this time', integer(1, 86400), 600)
    .allowExcessArguments(false)
    .exitOverride()
    .configureOutput({ writeErr: () => {} });
  command.parse([...args], { from: 'user' });
  const given = command.opts();
  const { kernelImage: image, kernelBuild: build } = given;
  if ((image === undefined) !== (build === undefined)) {
    command.error('error: --kernel-image and --kernel-build go together: the image and what it was built in');
  }
  if (given.kernel === 'all' && (image !== undefined || given.shell || given.baseline)) {
    command.error('error: --kernel all goes without --kernel-image, --shell and --baseline');
  }
  if (given.compare && (given.shell || given.baseline || given.kernel !== '5.10' || image !== undefined)) {
    command.error('error: --compare goes without --kernel, --kernel-image, --shell and --baseline');
  }
  return {
    ...(given.memory !== undefined && { memory: given.memory }),
    ...(given.frontEnd !== undefined && { frontEnd: given.frontEnd }),
    guestMemoryMiB: given.guestMemory,
    cpus: given.cpus,
    kernel: image === undefined ? given.kernel : { image, build },
    personality: given.personality,
    job: given.job,
    workloadMiB: given.workload ?? Math.ceil(given.guestMemory * workloadPerGuestMemory[given.job as Job]),
    streamMiB: given.stream ?? 0,
    ...(given.reserve === undefined ? {} : { reserve: given.reserve }),
    seed: given.seed,
    baseline: given.baseline,
    compare: given.compare,
    trials: given.trials,
    json: given.json,
    shell: given.shell,
    timeoutSeconds: given.timeout,
  };
}
