/** A lab guest that swaps into a service, with somebody who interferes while it does. */
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeArtefacts } from '../../kernel-shim/lab/artefacts.js';
import { makeFileDisk } from '../../kernel-shim/lab/file-disk.js';
import { GuestReport } from '../../kernel-shim/lab/guest-report.js';
import type { FrontEnd, Job } from '../../kernel-shim/lab/qemu.js';
import { Service } from '../mock/service.js';
import { prepareMachine } from './lab-machine.js';
import { qmp } from './qmp.js';

const WORKLOAD_MIB = 160;
const GUEST_MIB = 128;

export interface DrivenGuest {
  service: Service;
  /** Called once, when the workload starts that phase; the guest goes on meanwhile. */
  at(phase: string, interfere: () => Promise<void>): void;
  /** Called once, before the workload starts the phase `pause`; the guest waits for it. */
  whilePaused(interfere: () => Promise<void>): void;
  /** Called once, when the workload is over, and swap off; the guest waits for it before it goes. */
  beforeItGoes(interfere: () => Promise<void>): void;
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
  /** Absent: frontswap. */
  frontEnd?: FrontEnd;
  /** Two disks to swap to: the second is used when the first, of this size, is full. */
  firstDiskMiB?: number;
  /** It is powered off with swap on, after a try to sleep where the driver makes a disk. */
  swapStays?: boolean;
}

/** Polls: what happens in the guest takes as long as it takes. */
export async function until(
  what: string,
  holds: () => Promise<boolean> | boolean,
  seconds = 120,
): Promise<void> {
  for (const end = Date.now() + seconds * 1000; Date.now() < end; await sleep(20)) {
    if (await holds()) return;
  }
  throw new Error(`not within ${seconds} s: ${what}`);
}

/** Everything but running it. `guest` is its section of the service's configuration. */
export async function prepareGuest(
  guest: Record<string, string | number> = {},
  {
    job = 'swap',
    hotplug = false,
    pause = '',
    frontEnd,
    firstDiskMiB,
    swapStays = false,
  }: DrivenGuestOptions = {},
): Promise<DrivenGuest> {
  const machine = await prepareMachine(
    await makeArtefacts('5.10', new AbortController().signal),
    2,
    GUEST_MIB,
  );
  const service = await Service.start({ guests: { guest } });
  const diskMiB = WORKLOAD_MIB + 64;
  const swapDiskPath = machine.disk('swap', firstDiskMiB ?? diskMiB);
  const spareDiskPath = firstDiskMiB === undefined ? undefined : machine.disk('spare', diskMiB);
  const fileDiskPath = machine.disk('files', diskMiB);
  if (job === 'files') await makeFileDisk(fileDiskPath, diskMiB);
  const qmpPath = path.join(machine.folder, 'qmp.sock');
  let cutOff = false;
  const cut = () => {
    cutOff = true;
    machine.cutOff();
  };
  let report = new GuestReport();
  const interferences = new Map<string, () => Promise<void>>();
  return {
    service,
    at: (phase, interfere) => void interferences.set(`phase ${phase}`, interfere),
    whilePaused: (interfere) => void interferences.set('held', interfere),
    beforeItGoes: (interfere) => void interferences.set('done 0', interfere),
    qmp: (command, args, event) => qmp(qmpPath, command, args, event),
    pagesPut: async () => (await service.admin.guest('guest')).counters.putsGoodTotal,
    console: machine.console,
    cutOff: cut,
    report: () => report,
    async run() {
      let interference: Promise<void> | undefined;
      await machine
        .run({
          mode: 'run',
          swapDiskPath,
          ...(spareDiskPath !== undefined && { spareDiskPath }),
          ...(frontEnd !== undefined && { frontEnd }),
          ...(job === 'files' && { fileDiskPath }),
          qmpPath,
          devicePath: service.socket('guest'),
          hotplug,
          swapStays,
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
            interference.catch(() => cut());
            // Only a guest that waits is kept waiting.
            return line === 'held' || line === 'done 0' ? interference : undefined;
          },
        })
        .catch((error: unknown) => {
          if (!cutOff) throw error;
        });
      await interference;
      return report;
    },
    async close() {
      machine.remove();
      await service.stop();
    },
  };
}
