/** Every ring size that the specification allows (virtio 1.2, 2.7: powers of two up to 32768): served, or refused by name. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { FrontEnd, Message, message, u32 } from '../mock/front-end.js';
import { Guest, PAGE_BYTES } from '../mock/guest.js';
import { wire } from '../mock/mock.js';
import { Service } from '../mock/service.js';

let service: Service;
beforeAll(async () => {
  service = await Service.start({ memory: '64MiB', guests: { web: { reserve: '1MiB' } } });
});
afterAll(async () => {
  expect(await service.stop()).toEqual({ code: 0, signal: null });
});

let guest: Guest | undefined;
afterEach(() => guest?.close());

test.each(Array.from({ length: 15 }, (_, power) => 2 ** (power + 1)))(
  'a ring of %i entries is served',
  (ringSize) => {
    const slots = Math.min(16, ringSize);
    guest = new Guest(service.socket('web'), { ringSize, slots });
    guest.reset();
    const pool = guest.createPool(true);
    // The mock lays a put into three descriptors.
    if (ringSize < 4) return;
    // More often than the ring has entries, where that is quick.
    for (let index = 0; index < Math.min(3 * ringSize, 200); index += 1) {
      const key = { pool, oid: [1n, 0n, 0n], index } as const;
      const page = Buffer.alloc(PAGE_BYTES, `row ${index} of ${ringSize} `);
      expect(guest.put(1, key, page).status).toBe(wire.S_OK);
      expect(guest.get(1, key).data.equals(page)).toBe(true);
    }
  },
);

test('a ring of one entry, in which no request fits, is refused and logged with that reason', async () => {
  const front = new FrontEnd(service.socket('web'));
  front.negotiate({ eventIdx: true });
  front.raw(message(Message.SET_VRING_NUM, u32(0, 1)));
  expect(front.untilClosed()).toBeDefined();
  await expect
    .poll(() => service.log.map(({ error }) => error))
    .toContain(
      'SET_VRING_NUM: ring size 1, allowed: powers of two from 2 to 32768 (a request is two descriptors at least)',
    );
});
