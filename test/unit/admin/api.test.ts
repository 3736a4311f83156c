/** The admin API and `tmemd ctl`'s client for it, over a real socket, with a fake store behind. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect, onTestFinished, test } from 'vitest';
import { adminApi } from '../../../src/admin/api.js';
import { AdminClient } from '../../../src/admin/client.js';
import { loadConfig } from '../../../src/config/load.js';
import { Guest } from '../../../src/guest/guest.js';
import { Exposition } from '../../../src/metrics/exposition.js';
import type { NativeAddon } from '../../../src/native/addon.js';
import { FakeStore, zeroOperations } from '../fakes/native.js';
import { scratchFolder } from '../fakes/service.js';

async function rig() {
  const store = new FakeStore();
  const config = loadConfig({ socketPath: ['/s/web.sock', '/s/db.sock'] }, '/s');
  const guests = new Map(
    config.guests.map((each) => [
      each.name,
      new Guest(each, {} as NativeAddon, store, pino({ level: 'silent' })),
    ]),
  );
  const api = adminApi(store, guests, new Exposition(store, guests, pino({ level: 'silent' })));
  const path = join(scratchFolder(), 'admin.sock');
  await api.listenUnix(path);
  const client = new AdminClient(path);
  onTestFinished(async () => {
    await client.close();
    await api.close();
  });
  return { store, api, path, client };
}

test("the admin socket is its owner's only", async () => {
  const { path } = await rig();
  expect(statSync(path).mode & 0o777).toBe(0o600);
});

test('guests, pools and the store are shown with every counter', async () => {
  const { store, client } = await rig();
  store.guest(0).pools = [{ ...zeroOperations(), pool: 3, persistent: true, pages: 9 }];
  expect((await client.guests()).map(({ name }) => name)).toEqual(['web', 'db']);
  expect((await client.guest('db')).counters).toEqual(store.guestCounters(1));
  expect(await client.pools()).toEqual([
    { guest: 'web', ...zeroOperations(), pool: 3, persistent: true, pages: 9 },
  ]);
  expect(await client.pools('db')).toEqual([]);
  expect(await client.store()).toEqual(store.counters());
});

test('settings change at run time, none by name only', async () => {
  const { client } = await rig();
  const tuned = await client.tune('web', {
    weight: 7,
    capPages: 10,
    limitPages: 5,
    targetPages: 3,
    frozen: true,
  });
  expect(tuned).toMatchObject({
    targetPages: 3,
    counters: { weight: 7, capPages: 10, persistentLimitPages: 5, frozen: 1 },
  });
  expect(await client.tune('web', { targetPages: null })).toMatchObject({
    targetPages: null,
    counters: { weight: 7 },
  });
  expect(await client.guest('db')).toMatchObject({ counters: { weight: 100 } });
});

test.each([
  ['an unknown key', { wieght: 1 }, 'wieght: unknown key (did you mean weight?); allowed: weight, capPages'],
  ['a value out of range', { weight: 0 }, 'weight: 0 is not allowed; allowed: an integer from 1 to 1000000'],
  ['a value of the wrong kind', { frozen: 'yes' }, 'frozen: "yes" is not allowed; allowed: true or false'],
  ['not an object', [1], 'is not allowed; allowed: an object'],
])('%s is refused with what is allowed', async (_, body, message) => {
  const { client } = await rig();
  await expect(client.tune('web', body as object)).rejects.toMatchObject({
    status: 400,
    message: expect.stringContaining(message),
  });
});

test('a guest that does not exist is named, with those that do', async () => {
  const { client } = await rig();
  await expect(client.guest('nobody')).rejects.toMatchObject({
    status: 404,
    message: 'guest: "nobody" is unknown; known: web, db',
  });
});

test('dropping a guest drops its pools', async () => {
  const { store, client } = await rig();
  await client.drop('web', false);
  expect(store.droppedTimes).toBe(1);
});

test('a guest that nobody is connected to can be disconnected', async () => {
  const { client } = await rig();
  expect(await client.disconnect('web', false)).toMatchObject({ name: 'web', state: 'absent' });
});

test('the check says whether the invariants hold, and what does not', async () => {
  const { store, client } = await rig();
  expect(await client.check()).toEqual({ ok: true, problem: '' });
  store.problem = 'used 5 is not 3 + 1';
  expect(await client.check()).toEqual({ ok: false, problem: 'used 5 is not 3 + 1' });
});

test('anything else is answered with 404 and metrics are served', async () => {
  const { api } = await rig();
  const missing = await api.app.inject({ method: 'GET', url: '/v2/x' });
  expect([missing.statusCode, missing.json()]).toEqual([404, { error: 'GET /v2/x is not part of this API' }]);
  const metrics = await api.app.inject({ method: 'GET', url: '/metrics' });
  expect(metrics.body).toContain('tmemd_store_capacity_bytes 1073741824');
});
