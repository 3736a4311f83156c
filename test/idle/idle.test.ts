/**
 * A guest that does nothing costs next to nothing: the worker sleeps once its poll window is over, and
 * nobody wakes the service but its background thread, ten times a second. Wake-ups are counted because they
 * do not depend on what else the machine does; processor time is there to find who does not sleep at all.
 */
import { setTimeout as after } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { Guest, PAGE_BYTES } from '../mock/guest.js';
import { wire } from '../mock/mock.js';
import { Service } from '../mock/service.js';

const WATCH_MS = 12_000;
/** Within it V8 gives back, once, what starting up took of its heap: 0.1 s of work that is not idling. */
const START_UP_MS = 12_000;
/** The background thread's, and a burst of the runtime's own. A ring that is looked at each millisecond makes 1000. */
const MOST_WAKES_PER_SECOND = 100;
/** Of one core. Without a load it is a tenth of this; on a loaded machine each wake-up costs more. */
const MOST_SHARE = 0.03;

test.each([
  ['with EVENT_IDX', true],
  ['without EVENT_IDX', false],
])('an attached guest %s that was busy and went idle leaves the service asleep', async (_title, eventIdx) => {
  const service = await Service.start({ memory: '64MiB', guests: { sleeper: { queues: 4 } } });
  onTestFinished(async () => {
    await service.stop();
  });
  const guest = new Guest(service.socket('sleeper'), { queues: 4, eventIdx });
  guest.reset();
  const pool = guest.createPool(true);
  const page = Buffer.alloc(PAGE_BYTES, 'busy');
  for (let round = 0; round < 2000; round += 1) {
    const key = { pool, oid: [0n, 0n, 0n] as const, index: round };
    expect(guest.put(1 + (round % 4), key, page).status).toBe(wire.S_OK);
  }
  // Kicks that announce nothing, as a driver that found its ring empty after all.
  for (const ring of guest.rings) ring.kick();
  await after(START_UP_MS);

  const wakesBefore = service.wakes();
  const usedBefore = service.cpuSeconds();
  const begun = process.hrtime.bigint();
  await after(WATCH_MS);
  const used = service.cpuSeconds() - usedBefore;
  const watchedSeconds = Number(process.hrtime.bigint() - begun) / 1e9;
  const share = used / watchedSeconds;
  const wakesPerSecond = (service.wakes() - wakesBefore) / watchedSeconds;
  process.stdout.write(
    `idle guest: ${wakesPerSecond.toFixed(1)} wake-ups a second, ${(share * 100).toFixed(2)} % of a core\n`,
  );
  expect(wakesPerSecond).toBeLessThan(MOST_WAKES_PER_SECOND);
  expect(share).toBeLessThan(MOST_SHARE);

  expect(guest.get(1, { pool, oid: [0n, 0n, 0n], index: 0 }).data.equals(page)).toBe(true);
  guest.close();
});
