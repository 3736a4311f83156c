/** `--kernel all`: the main job on every kernel, one after the other, and the table of what came of it. */
import Table from 'cli-table3';
import { type Kernel, KernelUnavailable } from './artefacts.js';
import { Closers } from './closers.js';
import type { LabSurroundings } from './lab.js';
import type { LabOptions } from './options.js';
import { type LabResult, objections } from './result.js';
import { runLab } from './run.js';
import { count, plain } from './table.js';

export interface KernelOutcome {
  kernel: string;
  personality: LabOptions['personality'];
  result?: LabResult;
  /** Why it did not pass; empty when it did. */
  objections: string[];
  /** Why there was no run. */
  skipped?: string;
}

/** The driver on each kernel that is not made for finding faults, and a guest nobody modified. */
const runs: { kernel: Kernel; personality: LabOptions['personality'] }[] = [
  { kernel: '5.10', personality: 'tmem' },
  { kernel: '6.1', personality: 'tmem' },
  { kernel: '6.1-generic', personality: 'tmem' },
  { kernel: '6.1-in-tree', personality: 'tmem' },
  { kernel: '6.12', personality: 'tmem' },
  { kernel: '7.x', personality: 'tmem' },
  { kernel: '6.12', personality: 'blk' },
];

export async function runKernels(
  options: LabOptions,
  surroundings: LabSurroundings,
): Promise<KernelOutcome[]> {
  const outcomes: KernelOutcome[] = [];
  for (const run of runs) {
    surroundings.say(`Linux ${run.kernel}, ${run.personality}`);
    const closers = new Closers();
    try {
      const result = await runLab({ ...options, ...run }, { ...surroundings, closers });
      outcomes.push({ ...run, ...(result && { result }), objections: result ? objections(result) : [] });
    } catch (error) {
      if (surroundings.signal.aborted) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      if (error instanceof KernelUnavailable) outcomes.push({ ...run, objections: [], skipped: reason });
      else outcomes.push({ ...run, objections: [reason] });
    } finally {
      await closers.closeAll();
    }
  }
  return outcomes;
}

/** Which of the runs it was. */
const runName = ({ kernel, personality }: KernelOutcome): string =>
  personality === 'blk' ? `${kernel} --personality blk` : kernel;

function verdict({ objections, skipped }: KernelOutcome): 'passed' | 'failed' | 'skipped' {
  if (skipped !== undefined) return 'skipped';
  return objections.length === 0 ? 'passed' : 'failed';
}

function row(outcome: KernelOutcome): string[] {
  const { result, personality } = outcome;
  if (result === undefined) return [runName(outcome), ...Array<string>(8).fill(''), verdict(outcome)];
  return [
    runName(outcome),
    result.release,
    personality === 'blk' ? 'its own disk driver' : result.front_end,
    count(result.pages_checked),
    count(result.pages_corrupt),
    count(result.puts),
    count(result.gets),
    count(result.swap_disk_writes),
    result.seconds.toFixed(1),
    verdict(outcome),
  ];
}

/** The table, why runs were skipped or failed, and how many. */
export function formatKernels(outcomes: readonly KernelOutcome[]): string {
  const table = new Table({
    ...plain,
    head: [
      '--kernel',
      'Linux',
      'swaps through',
      'pages checked',
      'corrupt',
      'put',
      'got',
      'disk writes',
      'seconds',
      'outcome',
    ],
    colAligns: ['left', 'left', 'left', 'right', 'right', 'right', 'right', 'right', 'right', 'left'],
  });
  for (const outcome of outcomes) table.push(row(outcome));
  const reasons = outcomes.flatMap((outcome) =>
    [outcome.skipped ?? [], outcome.objections].flat().map((reason) => {
      return `${runName(outcome)}: ${verdict(outcome)}: ${reason}`;
    }),
  );
  const howMany = (wanted: string) => outcomes.filter((outcome) => verdict(outcome) === wanted).length;
  const counts = `${howMany('passed')} passed, ${howMany('failed')} failed, ${howMany('skipped')} skipped`;
  return [table.toString(), ...reasons, counts].join('\n');
}
