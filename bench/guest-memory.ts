/**
 * The memory of a real QEMU guest after the lab's workload has filled it: what
 * `npm run guest` boots, without a service, its memory dumped while the workload
 * holds it.
 */
import { mkdtempSync, openSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { chooseAccelerator } from '../kernel-shim/lab/accelerator.js';
import { cacheFolder, makeArtefacts } from '../kernel-shim/lab/artefacts.js';
import { runGuest } from '../kernel-shim/lab/machine.js';
import { qmp } from '../test/e2e/qmp.js';
import { progress } from './trial.js';

const MEBIBYTE = 2 ** 20;
const PAGES_A_MIB = 256;
/** Of the guest's memory, what the workload fills; the rest is the kernel's. */
const WORKLOAD_SHARE = 0.85;
/** Of the workload's pages, those that are unique and compress; the rest is there too. */
const CORPUS_SHARE = 0.5;
const SMALLEST_MIB = 128;
const TIMEOUT_SECONDS = 600;

/** Writes guest-physical memory from 0 to a file in `folder`, whose name it returns. */
export async function dumpGuestMemory(pages: number, folder: string): Promise<string> {
  const aborted = new AbortController();
  const { kernelFolder, initramfsPath, qemuCommand } = await makeArtefacts('5.10', aborted.signal);
  const memoryMiB = Math.max(SMALLEST_MIB, Math.ceil(pages / PAGES_A_MIB / WORKLOAD_SHARE / CORPUS_SHARE));
  // QEMU may run in a root of its own that shares the temporary folder: the dump has to lie there.
  const scratch = mkdtempSync(path.join(tmpdir(), 'tmemd-'));
  const machine = {
    cpus: 2,
    memoryMiB,
    kernelPath: path.join(kernelFolder, 'bzImage'),
    initramfsPath,
    qemuCommand,
    socketFolder: scratch,
    consolePath: path.join(scratch, 'console.log'),
    signal: aborted.signal,
  };
  const swapDiskPath = path.join(scratch, 'swap.raw');
  const dumpPath = path.join(folder, 'guest-memory');
  try {
    openSync(swapDiskPath, 'w', 0o600);
    truncateSync(swapDiskPath, memoryMiB * MEBIBYTE);
    const { accelerator } = await chooseAccelerator(cacheFolder(), machine);
    progress(`booting a guest of ${memoryMiB} MiB (${accelerator})`);
    await runGuest({
      ...machine,
      accelerator,
      mode: 'run',
      swapDiskPath,
      qmpPath: path.join(scratch, 'qmp.sock'),
      workload: { megabytes: Math.floor(memoryMiB * WORKLOAD_SHARE), processes: 2, seed: 1 },
      timeoutSeconds: TIMEOUT_SECONDS,
      async onLine(line) {
        if (line.startsWith('phase ')) progress(`guest: ${line.slice('phase '.length)}`);
        if (line !== 'held') return;
        const dump = { val: 0, size: memoryMiB * MEBIBYTE, filename: dumpPath };
        await qmp(path.join(scratch, 'qmp.sock'), 'pmemsave', dump);
      },
    });
    return dumpPath;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
