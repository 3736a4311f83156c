/**
 * Runs each trial in a process of its own, so that none inherits another's
 * heap, page tables or warm caches. A trial is a module whose default export
 * takes its settings and returns its figures; what crosses is JSON.
 */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const runner = fileURLToPath(new URL('./trial-process.js', import.meta.url));

export type Trial<Settings, Figures> = (settings: Settings) => Promise<Figures>;

/** `url` is the trial module's. Rejects with the trial's own error. */
export function inFreshProcess<Settings, Figures>(url: URL, settings: Settings): Promise<Figures> {
  return new Promise((resolve, reject) => {
    const child = fork(runner, [url.href, JSON.stringify(settings)], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    let outcome: { figures: Figures } | { error: string } | undefined;
    child.on('message', (message) => {
      outcome = message as typeof outcome;
    });
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      if (outcome && 'figures' in outcome) resolve(outcome.figures);
      else reject(new Error(outcome?.error ?? `the trial ended without figures (${signal ?? code})`));
    });
  });
}

/** A line on stderr: what goes on now. */
export function progress(text: string): void {
  process.stderr.write(`bench: ${text}\n`);
}
