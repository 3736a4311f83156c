/** From a file and flags to a Config; and what each kind of bad input is told. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { ConfigError } from '../../../src/config/config-error.js';
import { type Flags, loadConfig } from '../../../src/config/load.js';
import { packageRoot } from '../../../src/native/load.js';

const folder = mkdtempSync(join(tmpdir(), 'tmemd-config-'));
const file = join(folder, 'tmemd.toml');
afterAll(() => rmSync(folder, { recursive: true }));

function load(toml: string | undefined, flags: Flags = {}) {
  if (toml === undefined) return loadConfig(flags, '/run/x');
  writeFileSync(file, toml);
  return loadConfig({ config: file, ...flags }, '/run/x');
}

function refusal(toml: string | undefined, flags: Flags = {}): string {
  try {
    load(toml, flags);
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    return (error as Error).message.replace(`${file}: `, '');
  }
  return 'accepted';
}

const guest = (lines: string) => `[guest.web]\nsocket = "/s/web.sock"\n${lines}`;

describe('the configuration', () => {
  test('has defaults for everything', () => {
    expect(load(undefined)).toEqual({
      memoryBytes: 2 ** 30,
      settling: true,
      adminSocket: '/run/x/admin.sock',
      logLevel: 'info',
      guests: [
        {
          name: 'default',
          endpoint: { path: '/run/x/default.sock', mode: 0o600 },
          weight: 100,
          capPages: 0,
          reservePages: 0,
          limitPages: 0,
          frozen: false,
          requestQueueCount: 4,
          maxPools: 64,
          orphanTimeoutMs: 0,
          silenceTimeoutMs: 10_000,
          maxPagesPerRequest: 64,
          memoryMapBytesMax: Math.min(4 * totalmem(), 2 ** 45),
          memoryRegionsMax: 509,
        },
      ],
    });
  });

  test("takes README's examples, which give silence_timeout its default", () => {
    const readme = readFileSync(join(packageRoot(), 'README.md'), 'utf8');
    const examples = [...readme.matchAll(/^```toml\n(.*?)^```$/gms)].map(([, toml = '']) => load(toml));
    expect(examples).toHaveLength(2);
    expect(readme).toMatch(/^silence_timeout = "[^"]+" +# the default/m);
    for (const { guests } of examples) {
      for (const { silenceTimeoutMs } of guests)
        expect(silenceTimeoutMs).toBe(load(undefined).guests[0]?.silenceTimeoutMs);
    }
  });

  test('takes every key of the file', () => {
    const config = load(`
      [store]
      memory = "2GiB"
      settling = false
      arena = "/dev/shm/a"
      [admin]
      socket = "/a/admin.sock"
      [metrics]
      listen = "9464"
      [log]
      level = "debug"
      [guest.web]
      socket = "/s/web.sock"
      socket_mode = "0660"
      weight = 200
      cap = "512MiB"
      reserve = "64MiB"
      limit = "256MiB"
      group = "tenant"
      frozen = true
      queues = 2
      numa_node = 1
      max_pools = 8
      orphan_timeout = "30s"
      silence_timeout = "1m"
      max_pages_per_request = 16
      memory_map_max = "96GiB"
    `);
    expect(config).toEqual({
      memoryBytes: 2 ** 31,
      settling: false,
      arenaPath: '/dev/shm/a',
      adminSocket: '/a/admin.sock',
      metrics: { host: '127.0.0.1', port: 9464 },
      logLevel: 'debug',
      guests: [
        {
          name: 'web',
          endpoint: { path: '/s/web.sock', mode: 0o660 },
          weight: 200,
          capPages: 131072,
          reservePages: 16384,
          limitPages: 65536,
          group: 'tenant',
          frozen: true,
          requestQueueCount: 2,
          numaNode: 1,
          maxPools: 8,
          orphanTimeoutMs: 30_000,
          silenceTimeoutMs: 60_000,
          maxPagesPerRequest: 16,
          memoryMapBytesMax: 96 * 2 ** 30,
          memoryRegionsMax: 509,
        },
      ],
    });
  });

  test('refuses __proto__ wherever it is a key, and passes over none', () => {
    for (const text of [
      '[guest.__proto__]\nsocket = "/s/p.sock"',
      '[__proto__]\nmemory = "1G"',
      guest('__proto__ = 1'),
    ]) {
      expect(() => load(text), text).toThrow(/__proto__: not allowed as a name/);
    }
  });

  test('lets flags win over the file and adds their guests', () => {
    const config = load('[store]\nmemory = "2GiB"\n[log]\nlevel = "warn"\n[guest.a]\nsocket = "/s/a.sock"', {
      memory: '64MiB',
      logLevel: 'error',
      socketPath: ['/t/b.sock', '/t/c'],
      fd: ['5'],
      metrics: '[::1]:0',
      adminSocket: '/t/admin',
    });
    expect(config).toMatchObject({
      memoryBytes: 64 * 2 ** 20,
      logLevel: 'error',
      adminSocket: '/t/admin',
      metrics: { host: '::1', port: 0 },
    });
    expect(config.guests.map(({ name, endpoint }) => ({ name, ...endpoint }))).toEqual([
      { name: 'a', path: '/s/a.sock', mode: 0o600 },
      { name: 'b', path: '/t/b.sock', mode: 0o600 },
      { name: 'c', path: '/t/c', mode: 0o600 },
      { name: 'fd5', fd: 5 },
    ]);
  });

  test("puts the admin socket beside the first guest's, or nowhere when guests are descriptors only", () => {
    expect(load(undefined, { socketPath: ['/t/b.sock', '/u/c.sock'] }).adminSocket).toBe('/t/admin.sock');
    expect(load(undefined, { fd: ['5'] }).adminSocket).toBeUndefined();
  });

  test('makes a disk of the personality blk, with a reserve of its size, that outlives its connections', () => {
    const blk = load(guest('personality = "blk"\nsize = "1GiB"')).guests[0];
    expect(blk).toMatchObject({
      disk: { pageCount: 262144, blockBytes: 4096 },
      reservePages: 262144,
      requestQueueCount: 64,
      orphanTimeoutMs: Number.POSITIVE_INFINITY,
    });
    const swap = load(
      guest(
        'personality = "blk"\nsize = "8MiB"\nreserve = "8MiB"\nblock_size = 512\nqueues = 1\norphan_timeout = "0"',
      ),
    ).guests[0];
    expect(swap).toMatchObject({
      disk: { pageCount: 2048, blockBytes: 512 },
      reservePages: 2048,
      requestQueueCount: 1,
      orphanTimeoutMs: 0,
    });
  });

  test('takes a disk from a flag', () => {
    const [disk] = load(undefined, { disk: ['/t=0/swap.sock=64MiB'] }).guests;
    expect(disk).toMatchObject({
      name: 'swap',
      endpoint: { path: '/t=0/swap.sock' },
      disk: { pageCount: 16384 },
    });
  });

  test('has as many queues as a large guest has processors, and takes up to what the protocol can number', () => {
    expect(load(undefined, { disk: ['/t/swap.sock=64MiB'] }).guests[0]?.requestQueueCount).toBe(64);
    expect(load(guest('personality = "blk"\nsize = "8MiB"\nqueues = 255')).guests[0]?.requestQueueCount).toBe(
      255,
    );
  });

  test('takes a disk on an inherited socket', () => {
    const [disk] = load(undefined, { fd: ['5=64MiB'] }).guests;
    expect(disk).toMatchObject({
      name: 'fd5',
      endpoint: { fd: 5 },
      disk: { pageCount: 16384, serial: 'fd5' },
    });
  });

  test('has a serial number of its own, its name if nothing else is said', () => {
    const name = 'database-of-the-web-shop';
    const [first, second] = load(
      `[guest.${name}-1]\nsocket = "/s/1"\npersonality = "blk"\nsize = "8MiB"
[guest.${name}-2]\nsocket = "/s/2"\npersonality = "blk"\nsize = "8MiB"\nserial = "shop-2"`,
    ).guests;
    expect(first?.disk?.serial).toBe(name.slice(0, 20));
    expect(second?.disk?.serial).toBe('shop-2');
  });

  test('takes none for a cap, a limit', () => {
    expect(load(guest('cap = "none"\nlimit = "none"')).guests[0]).toMatchObject({
      capPages: 0,
      limitPages: 0,
    });
  });
});

describe('bad input is told the key, the value and what is allowed:', () => {
  const size = 'a size like 4096, 512MiB or 1G, at most 8191T';
  const wholePages = `${size}, a multiple of 4096 bytes`;
  const table: [toml: string, message: string][] = [
    ['[gest.web]', 'gest: unknown key (did you mean guest?); allowed: store, admin, metrics, log, guest'],
    ['[store]\nmemroy = 1', 'store.memroy: unknown key (did you mean memory?); allowed: memory, settling'],
    ['[log]\nfile = "x"', 'log.file: unknown key; allowed: level'],
    [
      '[guest.web]\nsokcet = "/tmp/w"',
      'guest.web.sokcet: unknown key (did you mean socket?); allowed: socket, socket_mode, weight',
    ],
    ['store = 3', 'store: 3 is not allowed; allowed: a table'],
    ['[store]\nmemory = "12Q"', `store.memory: "12Q" is not allowed; allowed: ${size}, above 0`],
    ['[store]\nmemory = 0', `store.memory: 0 is not allowed; allowed: ${size}, above 0`],
    ['[store]\nmemory = -1', `store.memory: -1 is not allowed; allowed: ${size}, above 0`],
    ['[store]\nmemory = true', `store.memory: true is not allowed; allowed: ${size}, above 0`],
    ['[store]\nsettling = "yes"', 'store.settling: "yes" is not allowed; allowed: true or false'],
    ['[metrics]\nlisten = ":9464"', 'metrics.listen: ":9464" is not allowed; allowed: HOST:PORT'],
    ['[metrics]\nlisten = "h:70000"', 'metrics.listen: "h:70000" is not allowed; allowed: HOST:PORT'],
    ['[log]\nlevel = "loud"', 'log.level: "loud" is not allowed; allowed: one of trace, debug, info'],
    ['guest = "x"', 'guest: "x" is not allowed; allowed: tables named [guest.NAME]'],
    ['[guest]\nsocket = "x"', 'guest.socket: "x" is not allowed; allowed: a table: [guest.NAME]'],
    ['[guest."a b"]\nsocket = "x"', 'guest.a b: "a b" is not allowed; allowed: 1 to 63 letters, digits'],
    ['[guest.web]\nweight = 1', 'guest.web.socket: missing; allowed: a path of at most 107 bytes'],
    ['[guest.web]\nsocket = ""', 'guest.web.socket: "" is not allowed; allowed: a path of 1 to 107 bytes'],
    [`[guest.web]\nsocket = "/${'x'.repeat(107)}"`, 'is not allowed; allowed: a path of 1 to 107 bytes'],
    [guest('socket_mode = "0888"'), 'guest.web.socket_mode: "0888" is not allowed; allowed: an octal mode'],
    [guest('weight = 0'), 'guest.web.weight: 0 is not allowed; allowed: an integer from 1 to 1000000'],
    [guest('weight = 1.5'), 'guest.web.weight: 1.5 is not allowed; allowed: an integer from 1 to 1000000'],
    [guest('weight = "1"'), 'guest.web.weight: "1" is not allowed; allowed: an integer from 1 to 1000000'],
    [guest('cap = 0'), `guest.web.cap: 0 is not allowed; allowed: ${wholePages}, above 0, or none`],
    [guest('cap = "5000"'), `guest.web.cap: "5000" is not allowed; allowed: ${wholePages}, above 0, or none`],
    [guest('reserve = "none"'), `guest.web.reserve: "none" is not allowed; allowed: ${wholePages}`],
    [
      guest('limit = "1KB"'),
      `guest.web.limit: "1KB" is not allowed; allowed: ${wholePages}, above 0, or none`,
    ],
    [guest('group = ""'), 'guest.web.group: "" is not allowed; allowed: a name of 1 to 64 characters'],
    [guest('queues = 256'), 'guest.web.queues: 256 is not allowed; allowed: an integer from 1 to 255'],
    [guest('numa_node = -1'), 'guest.web.numa_node: -1 is not allowed; allowed: an integer from 0 to 1023'],
    [guest('max_pools = 0'), 'guest.web.max_pools: 0 is not allowed; allowed: an integer from 1 to 65535'],
    [
      guest('orphan_timeout = "8d"'),
      'guest.web.orphan_timeout: "8d" is not allowed; allowed: a duration like',
    ],
    [guest('orphan_timeout = 30'), 'guest.web.orphan_timeout: 30 is not allowed; allowed: a duration like'],
    [guest('max_pages_per_request = 257'), 'allowed: an integer from 1 to 256'],
    ...['0', '"none"', '"1KB"', '"-1GiB"', '"9999P"'].map((bytes): [string, string] => [
      guest(`memory_map_max = ${bytes}`),
      `guest.web.memory_map_max: ${bytes} is not allowed; allowed: ${size}, above 0`,
    ]),
    [
      guest('memory_map_max = "33TiB"'),
      'guest.web.memory_map_max: "33TiB" is not allowed; allowed: 32TiB (of 32TiB for all guests together)',
    ],
    [
      guest('wieght = 1'),
      'guest.web.wieght: unknown key (did you mean weight?); allowed: socket, socket_mode, weight',
    ],
    [guest('serial = "x"'), 'guest.web.serial: allowed: only with personality = "blk"'],
    ...['', 'a b', 'ä', 'x'.repeat(21)].map((serial): [string, string] => [
      guest(`personality = "blk"\nsize = "8MiB"\nserial = "${serial}"`),
      `guest.web.serial: "${serial}" is not allowed; allowed: 1 to 20 printable ASCII characters, no spaces`,
    ]),
    [
      `[guest.disk-for-the-database-1]\nsocket = "/s/1"\npersonality = "blk"\nsize = "8MiB"
[guest.disk-for-the-database-2]\nsocket = "/s/2"\npersonality = "blk"\nsize = "8MiB"`,
      'guest.disk-for-the-database-2.serial: "disk-for-the-databas" is not allowed; allowed: a serial of its own (this is that of disk-for-the-database-1): set serial in [guest.disk-for-the-database-2]',
    ],
    ['[store]\nmemory = "9999T"', `store.memory: "9999T" is not allowed; allowed: ${size}, above 0`],
    [
      guest('reserve = "2MiB"\ncap = "1MiB"'),
      'guest.web.cap: "1MiB" is not allowed; allowed: none, or at least the',
    ],
    [
      guest('reserve = "2MiB"\nlimit = "1MiB"'),
      'guest.web.limit: "1MiB" is not allowed; allowed: none, or at least',
    ],
    [
      guest('[guest.b]\nsocket = "/s/web.sock"'),
      'guest.b.socket: "/s/web.sock" is not allowed; allowed: a socket of',
    ],
    [
      guest('[admin]\nsocket = "/s/web.sock"'),
      'allowed: a socket of its own (this is that of the admin API)',
    ],
    [
      guest('personality = "nvme"'),
      'guest.web.personality: "nvme" is not allowed; allowed: one of tmem, blk',
    ],
    [guest('size = "1MiB"'), 'guest.web.size: allowed: only with personality = "blk"'],
    [guest('block_size = 512'), 'guest.web.block_size: allowed: only with personality = "blk"'],
    [guest('personality = "blk"'), 'guest.web.size: missing; allowed: the size of the disk, such as 1GiB'],
    [
      guest('personality = "blk"\nsize = 0'),
      `guest.web.size: 0 is not allowed; allowed: ${wholePages}, above 0`,
    ],
    [
      guest('personality = "blk"\nsize = "2MiB"\nreserve = "1MiB"'),
      'guest.web.reserve: "1MiB" is not allowed; allowed: none, or the disk\'s size (2MiB)',
    ],
    [
      guest('personality = "blk"\nsize = "2MiB"\nlimit = "1MiB"'),
      'guest.web.limit: "1MiB" is not allowed; allowed: none, or at least',
    ],
    [
      guest('personality = "blk"\nsize = "2MiB"\nblock_size = 1024'),
      'guest.web.block_size: 1024 is not allowed; allowed: 512 or 4096',
    ],
    [
      guest('personality = "blk"\nsize = "2MiB"\nmax_pools = 2'),
      'guest.web.max_pools: allowed: only with personality = "tmem"',
    ],
    ['store = ', `${file}:1:9: not valid TOML: `],
    ['[a]\n[a]', `${file}:2:`],
  ];
  test.each(table)('%j', (toml, message) => {
    const got = refusal(toml);
    expect(got).toContain(message);
    expect(got).not.toContain('\n');
  });

  const flags: [flags: Flags, message: string][] = [
    [{ memory: '1XB' }, '--memory: "1XB" is not allowed; allowed: a size like'],
    [{ logLevel: 'loud' }, '--log-level: "loud" is not allowed; allowed: one of trace'],
    [{ metrics: 'here' }, '--metrics: "here" is not allowed; allowed: HOST:PORT'],
    [{ adminSocket: '' }, '--admin-socket: "" is not allowed; allowed: a path of 1 to 107 bytes'],
    [
      { socketPath: ['/t/ä.sock'] },
      '--socket-path: "/t/ä.sock" is not allowed; allowed: a path whose base name',
    ],
    [{ socketPath: ['/t/a.sock', '/u/a.sock'] }, 'guest: "a" is not allowed; allowed: each guest name once'],
    [{ disk: ['/t/a.sock'] }, '--disk: "/t/a.sock" is not allowed; allowed: PATH=SIZE'],
    [{ disk: ['/t/a.sock=1KB'] }, '--disk: size: "1KB" is not allowed; allowed: a size like'],
    [{ disk: ['/t/ä=1MiB'] }, '--disk: "/t/ä" is not allowed; allowed: a path whose base name'],
    [{ fd: ['2'] }, '--fd: "2" is not allowed; allowed: the number of an inherited socket'],
    [{ fd: ['x'] }, '--fd: "x" is not allowed'],
    [{ fd: ['5='] }, '--fd: size: "" is not allowed; allowed: a size like'],
    [
      { config: '/dev/zero' },
      '--config: "/dev/zero" is not allowed; allowed: a TOML file or a pipe of at most 1MiB',
    ],
    [{ config: '/dev' }, '--config: "/dev" cannot be read (EISDIR)'],
    [
      { config: '/nowhere/x.toml' },
      '--config: "/nowhere/x.toml" cannot be read (ENOENT); allowed: a TOML file',
    ],
  ];
  test.each(flags)('%j', (given, message) => {
    expect(refusal(undefined, given)).toContain(message);
  });
});
