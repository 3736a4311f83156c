/** The inside of a trial's own process: see trial.ts. */
import type { Trial } from './trial.js';

const [, , url = '', settings = ''] = process.argv;

async function figures(): Promise<unknown> {
  const module = (await import(url)) as { default: Trial<unknown, unknown> };
  return { figures: await module.default(JSON.parse(settings)) };
}

const outcome = await figures().catch((error: Error) => ({ error: error.message }));
process.send?.(outcome, () => process.exit(0));
