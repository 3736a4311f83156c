/** Starts attacker-process.ts and ends it; and what another guest's front end notices of it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { packageRoot } from '../../src/native/load.js';
import { FrontEnd, Message } from '../mock/front-end.js';

/** Resolves when the attack has begun; kill() resolves when the process is gone. */
export async function startAttacker(kind: string, socketPath: string): Promise<{ kill(): Promise<void> }> {
  const script = join(packageRoot(), 'dist', 'test', 'hostile', 'attacker-process.js');
  const child = spawn(process.execPath, [script, kind, socketPath], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  const begun = once(createInterface(child.stdout), 'line');
  await Promise.race([begun, exited.then(() => Promise.reject(new Error(`${kind} did not begin`)))]);
  return {
    kill: async () => {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

/** A front end of a guest that nobody attacks, which asks and takes the time. */
export class Witness {
  readonly #front: FrontEnd;

  constructor(socketPath: string) {
    this.#front = new FrontEnd(socketPath);
    this.#front.negotiate({ eventIdx: true });
  }

  /** Milliseconds until a question was answered. */
  ask(): number {
    const began = performance.now();
    this.#front.ask(Message.GET_FEATURES);
    return performance.now() - began;
  }

  /** Asks now and then for so long; the answers' times, ascending. */
  async watch(forMs: number): Promise<number[]> {
    const times: number[] = [];
    for (const end = performance.now() + forMs; performance.now() < end; ) {
      times.push(this.ask());
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    return times.sort((a, b) => a - b);
  }

  close(): void {
    this.#front.close();
  }
}

export function quantile(ascending: number[], part: number): number {
  return ascending[Math.min(ascending.length - 1, Math.floor(ascending.length * part))] ?? Number.NaN;
}
