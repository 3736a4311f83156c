/** The command line of `npm run guest`. */
import { Command, InvalidArgumentError, Option } from 'commander';
import { parseSizeBytes, sizeSyntax } from '../../src/config/quantity.js';
import { type Kernel, kernels } from './artefacts.js';
import { type FrontEnd, frontEnds, type Job } from './qemu.js';

/** What the guest can be made to do. */
export const jobs: readonly Job[] = ['swap', 'files'];

/** What the guest is shown. */
export const personalities = ['tmem', 'blk'] as const;

export interface LabOptions {
  personality: (typeof personalities)[number];
  /** Size of the service's store, in the service's own notation; absent: the service's default. */
  memory?: string;
  guestMemoryMiB: number;
  cpus: number;
  kernel: Kernel;
  frontEnd: FrontEnd;
  /** What the service guarantees the guest; the size of its swap device. */
  reserveMiB: number;
  job: Job;
  /** Anonymous memory or files the workload touches; follows the guest's memory when not given. */
  workloadMiB: number;
  /** Of a file that job `files` reads once, in between; 0: none. */
  streamMiB: number;
  /** The guest's reserve in the service, in the service's own notation; absent: none. */
  reserve?: string;
  seed: number;
  baseline: boolean;
  json: boolean;
  shell: boolean;
  /** A guest that takes longer is cut off. */
  timeoutSeconds: number;
}

/** 640 MiB of anonymous memory for a guest of 256 MiB, or 512 MiB of files, and in proportion. */
const workloadPerGuestMemory = { swap: 2.5, files: 2 };

const serviceDefaultMemory = '1GiB';

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
    .addOption(new Option('--kernel <version>', "the guest's kernel").choices(kernels).default('5.10'))
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
      mebibytes(0, 1 << 20),
    )
    .addOption(
      new Option('--job <name>', 'what the guest does: swap, or read files')
        .choices([...jobs])
        .default('swap'),
    )
    .option(
      '--workload <size>',
      'memory or files the workload touches; default: 2.5 times the memory of the guest, files twice',
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
    .addOption(new Option('--json', 'print one JSON document on stdout').default(false).conflicts('shell'))
    .option('--shell', 'an interactive shell in the guest instead of the workload', false)
    .option('--timeout <seconds>', 'cut a guest off after this time', integer(1, 86400), 600)
    .allowExcessArguments(false)
    .exitOverride()
    .configureOutput({ writeErr: () => {} });
  command.parse([...args], { from: 'user' });
  const given = command.opts();
  const workloadMiB =
    given.workload ?? Math.ceil(given.guestMemory * workloadPerGuestMemory[given.job as Job]);
  const frontEnd = given.frontEnd ?? (given.kernel.startsWith('5.10') ? 'frontswap' : 'swap-device');
  const storeMiB = (parseSizeBytes(given.memory ?? serviceDefaultMemory) ?? 0) / 2 ** 20;
  const swapDeviceMiB = Math.min(workloadMiB, Math.floor(storeMiB * 0.75));
  return {
    ...(given.memory === undefined ? {} : { memory: given.memory }),
    guestMemoryMiB: given.guestMemory,
    cpus: given.cpus,
    kernel: given.kernel,
    personality: given.personality,
    frontEnd,
    reserveMiB: given.reserve ?? (frontEnd === 'swap-device' ? swapDeviceMiB : 0),
    job: given.job,
    workloadMiB,
    streamMiB: given.stream ?? 0,
    seed: given.seed,
    baseline: given.baseline,
    json: given.json,
    shell: given.shell,
    timeoutSeconds: given.timeout,
  };
}
