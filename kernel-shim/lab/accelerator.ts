/** KVM where it really works. */
import { constants } from 'node:fs';
import { access, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type GuestRun, runGuest } from './machine.js';
import type { Accelerator } from './qemu.js';

/** A guest that boots under KVM has reached init long before. */
const probeSeconds = 15;

export interface AcceleratorChoice {
  accelerator: Accelerator;
  /** Why it is not KVM; absent when it is. */
  reason?: string;
}

/** The name changes with every start of the machine: the finding is not kept beyond it. */
async function findingPath(cacheFolder: string): Promise<string> {
  const boot = await readFile('/proc/sys/kernel/random/boot_id', 'latin1');
  return path.join(cacheFolder, `kvm-${boot.trim()}`);
}

/**
 * Boots the guest's kernel under KVM as far as init: /dev/kvm may be there and hang any kernel. The finding is kept
 * until the machine is started anew.
 */
export async function chooseAccelerator(
  cacheFolder: string,
  guest: Omit<GuestRun, 'accelerator' | 'mode' | 'timeoutSeconds' | 'onLine'>,
): Promise<AcceleratorChoice> {
  const usable = await access('/dev/kvm', constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  );
  if (!usable) return { accelerator: 'tcg', reason: '/dev/kvm is missing or not ours to open' };
  await mkdir(cacheFolder, { recursive: true });
  const kept = await findingPath(cacheFolder);
  let finding = await readFile(kept, 'latin1').catch(() => undefined);
  if (finding === undefined) {
    let cameUp = false;
    const onLine = (line: string) => {
      cameUp ||= line === 'up';
    };
    await runGuest({
      ...guest,
      accelerator: 'kvm',
      mode: 'probe',
      timeoutSeconds: probeSeconds,
      onLine,
    }).catch((error: unknown) => {
      if (guest.signal.aborted) throw error;
    });
    finding = cameUp ? 'works' : `no kernel boots under /dev/kvm within ${probeSeconds} s`;
    await writeFile(kept, finding);
  }
  return finding === 'works' ? { accelerator: 'kvm' } : { accelerator: 'tcg', reason: finding };
}
