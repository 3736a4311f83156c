/** Starts victim-process.ts and ends it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { packageRoot } from '../../src/native/load.js';

export interface Victim {
  /** Resolves when what it noticed is in the file. */
  end(): Promise<void>;
}

/** Resolves when it has measured itself alone. Of real-time class where that is allowed: it is not its own wait that counts. */
export async function startVictim(tmemSocket: string, diskSocket: string, file: string): Promise<Victim> {
  const script = join(packageRoot(), 'dist', 'test', 'hostile', 'victim-process.js');
  const child = spawn(
    'bash',
    [
      '-c',
      'chrt --fifo -p 1 $$ 2>/dev/null; exec "$@"',
      'victim',
      process.execPath,
      script,
      tmemSocket,
      diskSocket,
      file,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const exited = once(child, 'exit');
  const measured = once(createInterface(child.stdout), 'line');
  await Promise.race([measured, exited.then(() => Promise.reject(new Error('the victim ended')))]);
  return {
    end: async () => {
      child.kill('SIGTERM');
      const [status] = await exited;
      if (status !== 0) throw new Error(`the victim ended with status ${status}`);
    },
  };
}
