/** Other people's servers as child processes. */
import { type ChildProcess, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';

const READY_MS = 60_000;
const POLL_MS = 20;
const GRACE_MS = 10_000;

/** Says what to install when a program is not there. */
export function absent(program: string, debianPackage: string): string | undefined {
  const found = spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;
  return found ? undefined : `${program} is not installed (apt-get install ${debianPackage})`;
}

/** Resolves when there is a socket at the path. @throws Error when the server has ended first, or takes a minute */
export async function listening(socketPath: string, server: ChildProcess): Promise<void> {
  for (let waitedMs = 0; !existsSync(socketPath); waitedMs += POLL_MS) {
    if (server.exitCode !== null || server.signalCode !== null || waitedMs > READY_MS) {
      throw new Error(`${server.spawnfile} did not start to listen`);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

export async function endProcess(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return;
  const ended = new Promise((resolve) => server.once('exit', resolve));
  server.kill('SIGTERM');
  const timer = setTimeout(() => server.kill('SIGKILL'), GRACE_MS);
  await ended;
  clearTimeout(timer);
}

export function residentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024;
}
