/** The disk of the personality blk, put to use by other people's programs in a guest nobody modified. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { chooseAccelerator } from '../../kernel-shim/lab/accelerator.js';
import {
  cacheFolder,
  diskTools,
  KernelUnavailable,
  makeArtefacts,
  oldQemuCommand,
} from '../../kernel-shim/lab/artefacts.js';
import { complaintsIn } from '../../kernel-shim/lab/kernel-log.js';
import { runGuest } from '../../kernel-shim/lab/machine.js';
import { Service } from '../mock/service.js';

const TEST_MS = 600_000;
const aborted = new AbortController();
let folder = '';
let arenaFolder = '';
let service: Service | undefined;

afterEach(async () => {
  aborted.abort();
  await service?.stop();
  for (const made of [folder, arenaFolder]) rmSync(made, { recursive: true, force: true });
});

/** What kernel-shim/lab/disk-check does, step by step. */
/** After these the service is killed: fio reads, then mke2fs writes. */
const killedAfter = ['fio-write', 'files'];
const steps = ['fio-write', 'fio-read', 'files', 'mkfs', 'fsck', 'compare'];

test(
  "Debian 12's QEMU and kernel: fio verifies what it wrote, ext4 is clean and its files are whole, though the service is killed and replaced",
  async ({ skip }) => {
    const { signal } = aborted;
    const made = await makeArtefacts('6.1', signal).catch((error: unknown) => error as Error);
    if (made instanceof KernelUnavailable) return skip(made.message);
    if (made instanceof Error) throw made;
    const { kernelFolder, initramfsPath, qemuCommand } = made;
    const oldQemu = await oldQemuCommand(signal);
    const tools = await diskTools(signal);
    folder = mkdtempSync(path.join(tmpdir(), 'tmemd-'));
    const withTools = path.join(folder, 'initramfs.gz');
    execFileSync('sh', ['-c', 'cat "$1" "$2" >"$3"', 'sh', initramfsPath, tools, withTools]);
    arenaFolder = mkdtempSync('/dev/shm/tmemd-');
    const settings = {
      folder,
      memory: '512MiB',
      arena: path.join(arenaFolder, 'arena'),
      guests: { disk: { personality: 'blk', size: '256MiB' } },
    };
    service = await Service.start(settings);
    const consolePath = path.join(folder, 'console.log');
    const machine = {
      cpus: 2,
      memoryMiB: 384,
      kernelPath: path.join(kernelFolder, 'bzImage'),
      initramfsPath: withTools,
      socketFolder: folder,
      signal,
      consolePath,
    };
    const { accelerator } = await chooseAccelerator(cacheFolder(), { ...machine, qemuCommand });
    const statuses: [step: string, status: string][] = [];
    await runGuest({
      ...machine,
      qemuCommand: oldQemu,
      oldQemu: true,
      accelerator,
      mode: 'tools',
      diskPath: service.socket('disk'),
      timeoutSeconds: 400,
      async onLine(line) {
        const [word, step = '', status = ''] = line.split(' ');
        if (word !== 'check') return;
        statuses.push([step, status]);
        if (!killedAfter.includes(step)) return;
        await service?.kill();
        service = await Service.start(settings);
      },
    });
    const log = readFileSync(consolePath, 'latin1');
    expect(statuses, log.slice(-8000)).toEqual(steps.map((step) => [step, '0']));
    expect(complaintsIn(log)).toEqual([]);
    expect(await service.admin.check()).toEqual({ ok: true, problem: '' });
    const { counters, device } = await service.admin.guest('disk');
    expect(counters.putsGoodTotal).toBe(counters.putsTotal);
    expect(counters.flushesFoundTotal).toBeGreaterThan(0);
    expect(device?.badRequestsTotal).toBe(0);
    expect(device?.brokenChainsTotal).toBe(0);
  },
  TEST_MS,
);
