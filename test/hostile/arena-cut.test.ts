/** The arena's file, cut by somebody while the service uses it. */
import { mkdtempSync, rmSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { expectOk, Guest } from '../mock/guest.js';
import { wire } from '../mock/mock.js';
import { Service } from '../mock/service.js';
import { pageOf } from './page.js';

test('the service ends with status 1 and one line that says what happened to its arena', async () => {
  const folder = mkdtempSync('/dev/shm/tmemd-');
  const arena = join(folder, 'arena');
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const service = await Service.start({ memory: '64MiB', arena, guests: { guest: {} } });
  onTestFinished(async () => void (await service.stop()));
  const guest = new Guest(service.socket('guest'), { queues: 1 });
  guest.reset();
  const pool = guest.createPool(true);
  const oid: [bigint, bigint, bigint] = [1n, 0n, 0n];
  for (let index = 0; index < 64; index += 1) expectOk(guest.put(1, { pool, oid, index }, pageOf(index)));
  truncateSync(arena, 4096);
  guest.submit(1, { op: wire.OP_GET, pool, oid, index: 0, nrPages: 1 });
  guest.ring(1).publish();
  guest.ring(1).kick();
  await expect.poll(() => service.running, { timeout: 60_000 }).toBe(false);
  expect(await service.stop()).toEqual({ code: 1, signal: null });
  expect(service.noise).toEqual([
    expect.stringMatching(/^tmemd: arena: its file was cut to 4096 of \d+ bytes while in use; /),
  ]);
});
