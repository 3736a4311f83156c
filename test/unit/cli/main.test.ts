/** The compiled command line as a process: its output, its exit statuses, its signals. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { u32 } from '../fakes/front-end.js';
import { FrontEnd, main, scratchFolder, serve, tmemd } from '../fakes/service.js';

const memory = ['--memory', '64MiB'];

describe('bad usage is one line on stderr and status 2:', () => {
  test.each([
    [
      ['serve', '--memory', '12Q'],
      '--memory: "12Q" is not allowed; allowed: a size like 4096, 512MiB or 1G, at most 8191T, above 0',
    ],
    [['serve', '--memry', '1G'], "unknown option '--memry' (Did you mean --memory?); see --help"],
    [['serve', '--memory'], "option '--memory <size>' argument missing; see --help"],
    [['serve', 'x'], "too many arguments for 'serve'. Expected 0 arguments but got 1.; see --help"],
    [['sevre'], "unknown command 'sevre' (Did you mean serve?); see --help"],
    [['ctl', 'guest', 'show'], "missing required argument 'name'; see --help"],
    [
      ['ctl', 'guest', 'set', 'a', 'wieght=3'],
      'wieght: unknown key (did you mean weight?); allowed: weight, cap, limit',
    ],
    [['ctl', 'guest', 'set', 'a', 'weight'], 'set: "weight" is not allowed; allowed: KEY=VALUE'],
    [['ctl', 'guest', 'set', 'a', 'target=x'], 'target: "x" is not allowed; allowed: a size like 4096'],
    [
      ['ctl', '--admin-socket', '/nowhere/s', 'store'],
      '--admin-socket: "/nowhere/s" is not allowed; allowed: a socket',
    ],
  ])('%j', async (args, message) => {
    const { status, stdout, stderr } = await tmemd(args);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(/^tmemd: .*$/);
    expect(stderr).toContain(message);
  });

  test('an option that another contains names that one', async () => {
    const { status, stderr } = await tmemd(['ctl', 'guest', 'list', '--socket', 'x']);
    expect(status).toBe(2);
    expect(stderr).toBe("tmemd: unknown option '--socket' (Did you mean --admin-socket?); see --help");
  });

  test('a file that is not TOML', async () => {
    const file = join(scratchFolder(), 'x.toml');
    writeFileSync(file, '[store');
    const { status, stderr } = await tmemd(['serve', '--config', file]);
    expect(status).toBe(2);
    expect(stderr).toMatch(/^tmemd: .*x\.toml:1:\d+: not valid TOML: .*$/);
  });
});

test('tmemd serve --print-capabilities prints JSON and exits', async () => {
  const { status, stdout, stderr } = await tmemd(['serve', '--print-capabilities']);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(JSON.parse(stdout)).toEqual({ type: 'tmem', features: [] });
});

describe('tmemd serve', () => {
  test('with no flags at all serves one guest in the runtime folder', async () => {
    const runtime = scratchFolder();
    const before = process.env.XDG_RUNTIME_DIR;
    process.env.XDG_RUNTIME_DIR = runtime;
    try {
      const { ready } = await serve([]);
      expect(ready).toMatchObject({
        level: 'info',
        guests: [{ name: 'default', socket: join(runtime, 'tmemd/default.sock') }],
        memoryBytes: 2 ** 30,
        adminSocket: join(runtime, 'tmemd/admin.sock'),
      });
      expect(statSync(join(runtime, 'tmemd')).mode & 0o777).toBe(0o700);
      expect((await tmemd(['ctl', 'guest', 'list'])).stdout).toMatch(/^default +absent/m);
    } finally {
      if (before === undefined) delete process.env.XDG_RUNTIME_DIR;
      else process.env.XDG_RUNTIME_DIR = before;
    }
  });

  // Tried again when late: the time is wall-clock, and other suites run beside this one.
  test.each(['SIGTERM', 'SIGINT'] as const)(
    'drains on %s and exits 0 within 2 s',
    { retry: 2 },
    async (signal) => {
      const folder = scratchFolder();
      const { child, logged } = await serve(['--socket-path', join(folder, 'a.sock'), ...memory]);
      const frontEnd = await new FrontEnd(join(folder, 'a.sock')).negotiate();
      const start = performance.now();
      child.kill(signal);
      const { exitCode } = await child;
      expect(exitCode).toBe(0);
      expect(performance.now() - start).toBeLessThan(2000);
      await logged('stopped');
      await frontEnd.closed();
      expect(readdirSync(folder)).toEqual([]);
    },
  );

  test('goes on after SIGHUP', async () => {
    const folder = scratchFolder();
    const { child, logged } = await serve(['--socket-path', join(folder, 'a.sock'), ...memory]);
    child.kill('SIGHUP');
    await logged('SIGHUP ignored: settings change through the admin API');
    await new FrontEnd(join(folder, 'a.sock')).negotiate();
  });

  test('logs one line about a front end that misbehaves', async () => {
    const folder = scratchFolder();
    const { logged } = await serve(['--socket-path', join(folder, 'a.sock'), ...memory]);
    const frontEnd = await new FrontEnd(join(folder, 'a.sock')).negotiate();
    await frontEnd.send(8, u32(0, 3));
    expect(await logged('connection closed: front end misbehaved')).toMatchObject({
      level: 'warn',
      guest: 'a',
      peerPid: process.pid,
      error:
        'SET_VRING_NUM: ring size 3, allowed: powers of two from 2 to 32768 (a request is two descriptors at least)',
    });
  });

  test('ends on SIGTERM though nobody reads its log any more', async () => {
    const child = spawn(
      process.execPath,
      [main, 'serve', ...memory, '--socket-path', join(scratchFolder(), 'a.sock')],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    onTestFinished(() => void child.kill('SIGKILL'));
    let said = '';
    for await (const part of child.stderr.iterator({ destroyOnReturn: false })) {
      said += part;
      if (said.includes('"msg":"ready"')) break;
    }
    const closed = once(child.stderr, 'close');
    child.stderr.destroy();
    await closed;
    child.kill('SIGTERM');
    expect(await once(child, 'exit')).toEqual([0, null]);
  });

  test('does not start half: a guest that cannot be had leaves nothing behind', async () => {
    const folder = scratchFolder();
    const sockets = ['--socket-path', join(folder, 'a.sock'), '--socket-path', join(folder, 'no/b.sock')];
    const { status, stderr } = await tmemd(['serve', ...memory, ...sockets]);
    expect(status).toBe(2);
    expect(stderr).toMatch(/^tmemd: guest\.b\.socket: ".*" is not allowed; allowed: .*ENOENT.*$/);
    expect(existsSync(join(folder, 'a.sock'))).toBe(false);
  });
});

describe('tmemd ctl', () => {
  test('shows and steers a running service, for people and as JSON', async () => {
    const folder = scratchFolder();
    await serve(['--socket-path', join(folder, 'web.sock'), ...memory]);
    const ctl = (...args: string[]) => tmemd(['ctl', '--admin-socket', join(folder, 'admin.sock'), ...args]);
    const json = async (...args: string[]) => JSON.parse((await ctl('--json', ...args)).stdout);

    const frontEnd = await new FrontEnd(join(folder, 'web.sock')).take();
    expect(await json('guest', 'list')).toEqual([
      expect.objectContaining({ name: 'web', state: 'connected' }),
    ]);
    const set = await json('guest', 'set', 'web', 'weight=200', 'limit=8MiB', 'cap=none', 'target=4MiB');
    expect(set).toMatchObject({ targetPages: 1024, counters: { weight: 200, persistentLimitPages: 2048 } });
    expect(await json('guest', 'freeze', 'web')).toMatchObject({ counters: { frozen: 1 } });
    expect((await ctl('guest', 'show', 'web')).stdout).toMatch(/^limit +8MiB$/m);
    expect(await json('guest', 'thaw', 'web')).toMatchObject({ counters: { frozen: 0 } });
    expect(await json('guest', 'drop', 'web')).toMatchObject({ counters: { pages: 0 } });
    expect(await json('pool', 'list', 'web')).toEqual([]);
    expect((await ctl('store')).stdout).toMatch(/^capacity +64MiB$/m);
    expect(await json('guest', 'drain', 'web')).toMatchObject({ targetPages: 0 });
    expect(await json('guest', 'disconnect', 'web')).toMatchObject({ state: 'absent' });
    await frontEnd.closed();
    expect(await ctl('check')).toEqual({ status: 0, stdout: 'invariants hold', stderr: '' });

    const unknown = await ctl('guest', 'show', 'nobody');
    expect(unknown).toEqual({
      status: 2,
      stdout: '',
      stderr: 'tmemd: guest: "nobody" is unknown; known: web',
    });
    // A dozen processes, on a machine that may be busy with guests.
  }, 120_000);
});
