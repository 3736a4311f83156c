/** A lab guest that swaps into a service, with somebody who interferes while it does. */
import { mkdtempSync, openSync, readFileSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { chooseAccelerator } from '../../kernel-shim/lab/accelerator.js';
import { cacheFolder, makeArtefacts } from '../../kernel-shim/lab/artefacts.js';
import { makeFileDisk } from '../../kernel-shim/lab/file-disk.js';
import { GuestReport } from '../../kernel-shim/lab/guest-report.js';
import { runGuest } from '../../kernel-shim/lab/machine.js';
import type { Job } from '../../kernel-shim/lab/qemu.js';
import { Service } from '../mock/service.js';
import { qmp } from './qmp.js';

const MEBIBYTE = 2 ** 20;
const WORKLOAD_MIB = 160;
const GUEST_MIB = 128;

export interface DrivenGuest {
  service: Service;
  /** Called once, when the workload starts that phase; the guest goes on meanwhile. */
  at(phase: string, interfere: () => Promise<void>): void;
  /** Called once, before the workload starts the phase `pause`; the guest waits for it. */
  whilePaused(interfere: () => Promise<void>): void;
  /** Resolves to the answer, with `event` once QEMU has said that, too. */
  qmp(command: string, args?: object, event?: string): Promise<unknown>;
  /** As the service counts them. */
  pagesPut(): Promise<number>;
  /** The kernel's log so far. */
  console(): string;
  /** Cuts the guest off: for one that will not come to its end. */
  cutOff(): void;
  /** What the guest has said in this life so far. */
  report(): GuestReport;
  /** Boots it and follows it to its end. */
  run(): Promise<GuestReport>;
  close(): Promise<void>;
}

export interface DrivenGuestOptions {
  job?: Job;
  /** Its device can be unplugged. */
  hotplug?: boolean;
  /** The phase of the workload it waits before. */
  pause?: string;
}

/** Everything but running it. `guest` is its section of the service's configuration. */
export async function prepareGuest(
  guest: Record<string, string | number> = {},
  { job = 'swap', hotplug = false, pause = '' }: DrivenGuestOptions = {},
): Promise<DrivenGuest> {
  const aborted = new AbortController();
  const { kernelFolder, initramfsPath, qemuCommand } = await makeArtefacts('5.10', aborted.signal);
  const service = await Service.start({ guests: { guest } });
  // Beside the cache: cache=none needs a real file system.
  const folder = mkdtempSync(path.join(tmpdir(), 'tmemd-'));
  const swapFolder = mkdtempSync(path.join(cacheFolder(), 'swap-'));
  const swapDiskPath = path.join(swapFolder, 'swap.raw');
  openSync(swapDiskPath, 'w', 0o600);
  truncateSync(swapDiskPath, (WORKLOAD_MIB + 64) * MEBIBYTE);
  const fileDiskPath = path.join(swapFolder, 'files.raw');
  if (job === 'files') await makeFileDisk(fileDiskPath, WORKLOAD_MIB + 64);
  const consolePath = path.join(folder, 'console.log');
  const qmpPath = path.join(folder, 'qmp.sock');
  const machine = {
    cpus: 2,
    memoryMiB: GUEST_MIB,
    kernelPath: path.join(kernelFolder, 'bzImage'),
    initramfsPath,
    qemuCommand,
    socketFolder: folder,
    signal: aborted.signal,
    consolePath,
  };
  const { accelerator } = await chooseAccelerator(cacheFolder(), machine);
  let report = new GuestReport();
  const interferences = new Map<string, () => Promise<void>>();
  return {
    service,
    at: (phase, interfere) => void interferences.set(`phase ${phase}`, interfere),
    whilePaused: (interfere) => void interferences.set('held', interfere),
    qmp: (command, args, event) => qmp(qmpPath, command, args, event),
    pagesPut: async () => (await service.admin.guest('guest')).counters.putsGoodTotal,
    console: () => readFileSync(consolePath, 'latin1'),
    cutOff: () => aborted.abort(),
    report: () => report,
    async run() {
      let interference: Promise<void> | undefined;
      await runGuest({
        ...machine,
        accelerator,
        mode: 'run',
        swapDiskPath,
        ...(job === 'files' && { fileDiskPath }),
        qmpPath,
        devicePath: service.socket('guest'),
        hotplug,
        workload: { pause, job, megabytes: WORKLOAD_MIB, processes: 2, stream: 0, seed: 1 },
        timeoutSeconds: 400,
        onLine(line) {
          if (line === 'up') report = new GuestReport(); // a new life
          report.take(line);
          const interfere = interferences.get(line);
          if (!interfere) return;
          interferences.delete(line);
          const before = interference;
          interference = (async () => {
            await before;
            await interfere();
          })();
          // That it failed is told at the end.
          interference.catch(() => aborted.abort());
          // Only a guest that waits is kept waiting.
          return line === 'held' ? interference : undefined;
        },
      }).catch((error: unknown) => {
        if (!aborted.signal.aborted) throw error;
      });
      await interference;
      return report;
    },
    async close() {
      aborted.abort();
      await service.stop();
      for (const made of [folder, swapFolder]) rmSync(made, { recursive: true, force: true });
    },
  };
}
