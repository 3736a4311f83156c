/** Waiting for a guest to take its pages back, with a clock that is told the time. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { drainGuest } from '../../../src/cli/drain.js';
import type { GuestStatus, Tuning } from '../../../src/guest/guest.js';

function client(pageCounts: number[], state: GuestStatus['state'] = 'running') {
  const tunings: Tuning[] = [];
  const status = async () =>
    ({
      state,
      counters: { persistentPages: pageCounts.length > 1 ? pageCounts.shift() : pageCounts[0] },
    }) as GuestStatus;
  return {
    tunings,
    guest: status,
    tune: (_name: string, tuning: Tuning) => {
      tunings.push(tuning);
      return status();
    },
  };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test('a guest that takes its pages back is drained, its target left at 0', async () => {
  const shrinking = client([9, 4, 0]);
  const drained = drainGuest(shrinking, 'web', 60_000);
  await vi.advanceTimersByTimeAsync(1000);
  expect((await drained).counters.persistentPages).toBe(0);
  expect(shrinking.tunings).toEqual([{ targetPages: 0 }]);
});

test('a guest that does not is given up after the timeout, with what it still holds', async () => {
  const drained = expect(drainGuest(client([9]), 'web', 60_000)).rejects.toThrow(
    /still holds 9 persistent pages after 60 s; .* swapoff/,
  );
  await vi.advanceTimersByTimeAsync(61_000);
  await drained;
});

test('a guest that is not there is given up at once', async () => {
  await expect(drainGuest(client([9], 'orphaned'), 'web', 60_000)).rejects.toThrow(
    'guest web still holds 9 persistent pages and is not connected: nobody can take them back',
  );
});
