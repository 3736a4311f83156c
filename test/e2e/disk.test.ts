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
let service: Service | undefined;

afterEach(async () => {
  aborted.abort();
  await service?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** What kernel-shim/lab/disk-check does, step by step. */
const steps = ['fio-write', 'fio-read', 'files', 'mkfs', 'fsck', 'compare'];

test(
  "Debian 12's QEMU and kernel: fio verifies what it wrote, ext4 is clean and its files are whole",
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
    service = await Service.start({
      memory: '512MiB',
      guests: { disk: { personality: 'blk', size: '256MiB' } },
    });
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
      onLine(line) {
        const [word, step = '', status = ''] = line.split(' ');
        if (word === 'check') statuses.push([step, status]);
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
