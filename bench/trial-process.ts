/** The inside of a trial's own process: see trial.ts. */
import type { Trial } from './trial.js';

const [, , url = '', settings = ''] = process.argv;

async function figures(): Promise<unknown> {
  const module = (await import(url)) as { default: Trial<unknown, unknown> };
  return { figures: await module.default(JSON.parse(settings)) };
}

// The bench may be interrupted; what a trial has set up, such as a zram device, it still takes down.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});

const outcome = await figures().catch((error: Error) => ({ error: error.message }));
if (process.connected) process.send?.(outcome, () => process.exit(0));
else process.exit(1);
