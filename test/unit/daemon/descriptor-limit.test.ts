/** What descriptors the guests of a configuration need, and what is said where there are fewer. */
import { pino } from 'pino';
import { expect, test } from 'vitest';
import { loadConfig } from '../../../src/config/load.js';
import {
  checkDescriptorLimit,
  descriptorNeed,
  softDescriptorLimit,
} from '../../../src/daemon/descriptor-limit.js';

const { guests } = loadConfig({ socketPath: ['/s/a.sock', '/s/b.sock'], disk: ['/s/d.sock=8MiB'] }, '/run');

function check(limit: number) {
  const log: Record<string, unknown>[] = [];
  const logger = pino({ base: null }, { write: (line: string) => log.push(JSON.parse(line)) });
  checkDescriptorLimit(guests, logger, limit);
  return log;
}

test('every ring takes two descriptors, beside what each guest and the service take', () => {
  const { least, most } = descriptorNeed(guests);
  // Five rings each of two guests and 64 of a disk, instead of one each of three.
  expect(most - least).toBe(2 * (5 + 5 + 64 - 3));
});

test('a limit below what every guest needs is refused with the cure, one below what all queues need is told', () => {
  const { least, most } = descriptorNeed(guests);
  expect(() => check(least - 1)).toThrow(
    `RLIMIT_NOFILE: ${least - 1} descriptors are too few for 3 guests; allowed: at least ${least}, ${most} with all`,
  );
  expect(check(least)).toEqual([
    expect.objectContaining({
      level: 40,
      limit: least,
      needed: most,
      msg: expect.stringMatching(/RLIMIT_NOFILE/),
    }),
  ]);
  expect(check(most)).toEqual([]);
  expect(check(Number.POSITIVE_INFINITY)).toEqual([]);
});

test.each([
  ['Max open files            1024                 4096                 files     ', 1024],
  [
    'Max open files            unlimited            unlimited            files     ',
    Number.POSITIVE_INFINITY,
  ],
  ['', Number.POSITIVE_INFINITY],
])('the soft limit is read from %j', (line, limit) => {
  const text = `Limit                     Soft Limit           Hard Limit           Units\n${line}\n`;
  expect(softDescriptorLimit(text)).toBe(limit);
});
