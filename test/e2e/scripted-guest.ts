/** A lab guest whose init runs one script or the KUnit tests, and says what it finds a line at a time. */
import { onTestFinished } from 'vitest';
import type { Artefacts } from '../../kernel-shim/lab/artefacts.js';
import type { GuestRun } from '../../kernel-shim/lab/machine.js';
import { CLEAN_UP_MS, prepareMachine } from './lab-machine.js';

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
  const { artefacts, cpus, memoryMiB, swapDiskMiB, onLine, ...run } = script;
  const machine = await prepareMachine(artefacts, cpus, memoryMiB);
  onTestFinished(machine.remove, CLEAN_UP_MS);
  await machine.run({
    ...run,
    ...(swapDiskMiB !== undefined && { swapDiskPath: machine.disk('swap', swapDiskMiB) }),
    timeoutSeconds: 400,
    onLine: (line) => onLine(line, machine.console),
  });
  return machine.console();
}
