/** What a figure was measured on: printed with every one of them. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';
import { packageRoot } from '../src/native/load.js';

export interface Setting {
  machine: string;
  kernel: string;
  node: string;
  /** With "+" when the checkout holds changes. */
  commit: string;
  /** One minute's, when the bench began: well below 1 or the figures are disturbed. */
  load: number;
}

export function setting(): Setting {
  const model = cpus()[0]?.model ?? 'unknown processor';
  const gib = Math.round(totalmem() / 2 ** 30);
  return {
    machine: `${availableParallelism()} x ${model}, ${gib} GiB${inVirtualMachine() ? ', virtual' : ''}`,
    kernel: release(),
    node: process.version,
    commit: commit(),
    load: Math.round((loadavg()[0] ?? 0) * 100) / 100,
  };
}

function inVirtualMachine(): boolean {
  return / hypervisor /.test(readFileSync('/proc/cpuinfo', 'utf8'));
}

function commit(): string {
  const git = (...args: string[]) =>
    execFileSync('git', args, { cwd: packageRoot(), encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  try {
    const changed = git('status', '--porcelain', '--untracked-files=no') !== '';
    return `${git('rev-parse', '--short', 'HEAD').trim()}${changed ? '+' : ''}`;
  } catch {
    return 'unknown: not a git checkout';
  }
}
