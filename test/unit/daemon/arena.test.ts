/** The file of an arena in the making: a service can be killed between any two steps. */
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { loadConfig } from '../../../src/config/load.js';
import { closeArena, openArena, openStore, takeOver } from '../../../src/daemon/arena.js';
import { native } from '../../../src/native/addon.js';

const silent = pino({ level: 'silent' });

let folder = '';
let path = '';
beforeEach(() => {
  folder = mkdtempSync('/dev/shm/tmemd-');
  path = join(folder, 'arena');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Each step of a start, in order, as far as it is awaited. */
function making() {
  const config = loadConfig({ memory: '64MiB', arena: path, socketPath: [join(folder, 'a.sock')] }, folder);
  const arena = openArena(path, config.memoryBytes);
  return {
    arena,
    open: () => openStore(config, native, arena),
    finish: (store: ReturnType<typeof openStore>) => takeOver(store, arena, 0, silent),
  };
}

test('a new arena has its name only once it is whole, and nothing else is left then', async () => {
  const { arena, open, finish } = making();
  expect(existsSync(path)).toBe(false);
  const store = open();
  expect(existsSync(path)).toBe(false);
  await finish(store);
  store.close();
  closeArena(arena);
  expect(readdirSync(folder)).toEqual(['arena']);
});

test('what a killed start left is in nobody’s way', async () => {
  making().open();
  making();
  const { open, finish } = making();
  await finish(open());
  expect(() => making().open()).toThrow('another store has it');
});

test('of two that make one at once the slower is refused, and takes nothing away', async () => {
  const slow = making();
  const slower = slow.open();
  const fast = making();
  await fast.finish(fast.open());
  await expect(slow.finish(slower)).rejects.toThrow(
    `store.arena: ${JSON.stringify(path)} is not allowed; allowed: a file that this service may make (EEXIST)`,
  );
  slower.close();
  closeArena(slow.arena);
  expect(readdirSync(folder)).toEqual(['arena']);
});

test('of one that is given up nothing is left', () => {
  const { arena, open } = making();
  open().close();
  closeArena(arena);
  expect(readdirSync(folder)).toEqual([]);
});
