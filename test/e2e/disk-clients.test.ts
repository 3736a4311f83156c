/**
 * The disk under clients that know nothing of us: QEMU's block layer by way of libblkio, as qemu-io, qemu-img and
 * qemu-storage-daemon, each a process and so a connection of its own.
 */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { blockTool } from '../../kernel-shim/lab/artefacts.js';
import { Service } from '../mock/service.js';

const MIB = 1 << 20;
const DISK_MIB = 64;
const FETCH_MS = 600_000;
const TOOL_MS = 120_000;

const aborted = new AbortController();
const tools = {} as Record<'qemu-io' | 'qemu-img' | 'qemu-storage-daemon', string[]>;
let folder: string;
let service: Service;
let daemon: (PromiseLike<unknown> & { kill(signal: NodeJS.Signals): boolean }) | undefined;

beforeAll(async () => {
  for (const name of ['qemu-io', 'qemu-img', 'qemu-storage-daemon'] as const) {
    tools[name] = await blockTool(name, aborted.signal);
  }
}, FETCH_MS);

beforeEach(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'tmemd-'));
  service = await Service.start({
    memory: '256MiB',
    guests: { disk: { personality: 'blk', size: `${DISK_MIB}MiB` } },
  });
});
afterEach(async () => {
  daemon?.kill('SIGKILL');
  await daemon;
  daemon = undefined;
  await service.stop();
  rmSync(folder, { recursive: true, force: true });
});
afterAll(() => aborted.abort());

/** Runs a tool to its end and resolves to what it printed; rejects with that when its status is not 0. */
async function run(name: keyof typeof tools, args: string[]): Promise<string> {
  const [program = '', ...first] = tools[name];
  const { all, exitCode } = await execa(program, [...first, ...args], {
    all: true,
    reject: false,
    timeout: TOOL_MS,
  });
  if (exitCode !== 0) throw new Error(`${name} ${args.join(' ')}: status ${exitCode}\n${all}`);
  return all;
}

const disk = () => `driver=virtio-blk-vhost-user,path=${service.socket('disk')},cache.direct=on`;

/** qemu-io runs the commands one after the other; a read with -P that finds another byte makes it fail. */
const io = (options: string, ...commands: string[]) =>
  run('qemu-io', ['--image-opts', options, ...commands.flatMap((command) => ['-c', command])]);

async function expectSound(): Promise<void> {
  expect(await service.admin.check()).toEqual({ ok: true, problem: '' });
  const { device } = await service.admin.guest('disk');
  expect(device?.badRequestsTotal ?? 0).toBe(0);
  expect(device?.brokenChainsTotal ?? 0).toBe(0);
  expect(service.noise).toEqual([]);
}

test('qemu-io finds every byte that it wrote, and zeros after a discard and where it wrote zeroes, in the next process too', async () => {
  const written = [
    'write -P 0x5a 0 1M',
    'write -P 0xa5 1536 512', // within a page
    'write -P 0x77 1044480 8192', // across two
    'write -z 64k 64k',
    'write -z -u 256k 12k',
    'discard 128k 64k',
    'write -f -P 0x11 512k 4k', // FUA
    'flush',
  ];
  const found = [
    'read -P 0x5a 0 1536',
    'read -P 0xa5 1536 512',
    'read -P 0x5a 2048 62k',
    'read -P 0 64k 128k',
    'read -P 0x5a 192k 64k',
    'read -P 0 256k 12k',
    'read -P 0x5a 268k 244k',
    'read -P 0x11 512k 4k',
    'read -P 0x5a 516k 504k',
    'read -P 0x77 1044480 8192',
    `read -P 0 1052672 ${DISK_MIB * MIB - 1052672 - 512}`,
    `read -P 0 ${DISK_MIB * MIB - 512} 512`,
  ];
  await io(disk(), ...written, ...found);
  await io(disk(), ...found);
  // So that a wrong byte would be told.
  await expect(io(disk(), 'read -P 0x5b 0 512')).rejects.toThrow(/Pattern verification failed/);
  await expectSound();
});

test('qemu-img copies an image to the disk and back, and finds the two equal', async () => {
  const image = path.join(folder, 'image');
  const copy = path.join(folder, 'copy');
  // Content of every kind: does not compress, compresses, repeats itself, is not there.
  const text = Buffer.from('swapped out and back again, '.repeat((4 * MIB) / 28));
  const content = Buffer.concat([randomBytes(8 * MIB), text], DISK_MIB * MIB);
  content.copy(content, 32 * MIB, 0, 8 * MIB);
  writeFileSync(image, content);
  await run('qemu-img', ['convert', '-n', '--target-image-opts', '-f', 'raw', image, disk()]);
  const equal = ['compare', '--image-opts', `driver=raw,file.filename=${image}`, disk()];
  expect(await run('qemu-img', equal)).toMatch(/identical/i);
  await run('qemu-img', ['convert', '--image-opts', '-O', 'raw', disk(), copy]);
  expect(readFileSync(copy).equals(content)).toBe(true);
  // The second eight MiB of noise are the first once more.
  const { counters } = await service.admin.guest('disk');
  expect(counters.sharedPages).toBeGreaterThan((8 * MIB) / 4096 / 2);
  await io(disk(), 'write -P 1 0 512');
  await expect(run('qemu-img', equal)).rejects.toThrow(/Content mismatch at offset 0/);
  await expectSound();
});

test("qemu-storage-daemon's NBD export of the disk serves other clients, and what they wrote stays", async () => {
  const socket = path.join(folder, 'nbd.sock');
  const nbd = `driver=nbd,server.type=unix,server.path=${socket},export=disk`;
  const [program = '', ...first] = tools['qemu-storage-daemon'];
  daemon = execa(
    program,
    [
      ...first,
      ...['--blockdev', `node-name=disk,discard=unmap,${disk()}`],
      ...['--nbd-server', `addr.type=unix,addr.path=${socket},max-connections=4`],
      ...['--export', 'type=nbd,id=export,node-name=disk,name=disk,writable=on'],
      ...['--pidfile', path.join(folder, 'pid')], // written once all of this is there
    ],
    { all: true, reject: false },
  );
  await expect.poll(() => pidIn(path.join(folder, 'pid')), { timeout: TOOL_MS }).toBeGreaterThan(0);
  await Promise.all(
    [0, 1, 2, 3].map((client) =>
      io(nbd, `write -P ${client + 1} ${client}M 1M`, `read -P ${client + 1} ${client}M 1M`, 'flush'),
    ),
  );
  await io(nbd, 'discard 1M 1M', 'read -P 0 1M 1M');
  daemon?.kill('SIGTERM');
  await daemon;
  await io(disk(), 'read -P 1 0 1M', 'read -P 0 1M 1M', 'read -P 3 2M 1M', 'read -P 4 3M 1M');
  await expectSound();
});

function pidIn(file: string): number {
  try {
    return Number(readFileSync(file, 'utf8'));
  } catch {
    return 0;
  }
}
