/** A guest that does nothing costs nothing: the worker sleeps once its poll window is over. */
import { setTimeout as after } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { Guest, PAGE_BYTES } from '../mock/guest.js';
import { wire } from '../mock/mock.js';
import { Service } from '../mock/service.js';

const WATCH_MS = 12_000;
/** Within it V8 gives back, once, what starting up took of its heap: 0.1 s of work that is not idling. */
const START_UP_MS = 12_000;
/** Of one core. */
const MOST_SHARE = 0.005;
/** The share is of wall-clock time that other processes disturb; each try starts a service of its own. */
const RETRIES = 2;

test.each([
  ['with EVENT_IDX', true],
  ['without EVENT_IDX', false],
])(
  'an attached guest %s that was busy and went idle costs under half a percent of a core',
  { retry: RETRIES },
  async (_title, eventIdx) => {
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

    const usedBefore = service.cpuSeconds();
    const begun = process.hrtime.bigint();
    await after(WATCH_MS);
    const used = service.cpuSeconds() - usedBefore;
    const watchedSeconds = Number(process.hrtime.bigint() - begun) / 1e9;
    const share = used / watchedSeconds;
    process.stdout.write(
      `idle guest: ${(share * 100).toFixed(2)} % of a core over ${watchedSeconds.toFixed(1)} s\n`,
    );
    expect(share).toBeLessThan(MOST_SHARE);

    expect(guest.get(1, { pool, oid: [0n, 0n, 0n], index: 0 }).data.equals(page)).toBe(true);
    guest.close();
  },
);
