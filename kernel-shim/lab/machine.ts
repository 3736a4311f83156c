/** One guest from power-on to power-off. */
import { open, readFile } from 'node:fs/promises';
import path from 'node:path';
import { execa } from 'execa';
import { GuestChannel } from './channel.js';
import { tailOf } from './kernel-log.js';
import { type GuestMachine, qemuArguments } from './qemu.js';

export interface GuestRun extends Omit<GuestMachine, 'channelPath'> {
  /** Program and first arguments that run QEMU. */
  qemuCommand: string[];
  /** For the channel's socket; a short path. */
  socketFolder: string;
  timeoutSeconds: number;
  signal: AbortSignal;
  /** Called with each line the guest's init sends; the guest waits at "held", "failed" and "done" until it settles. */
  onLine: (line: string) => Promise<void> | void;
}

const waitsForUs = /^(held|done|failed)\b/;

/** A guest that had to be cut off. */
export class GuestTimeout extends Error {}

async function consoleTail(consolePath: string | undefined): Promise<string> {
  if (consolePath === undefined) return '';
  const log = await readFile(consolePath, 'latin1').catch(() => '');
  return `; its console (${consolePath}) ends:\n${tailOf(log)}`;
}

/**
 * Boots the guest and follows it until QEMU has ended.
 * @throws GuestTimeout when the guest takes longer than allowed; Error when QEMU fails or the guest stops early.
 */
export async function runGuest(run: GuestRun): Promise<void> {
  const channel = await GuestChannel.listen(path.join(run.socketFolder, 'channel.sock'));
  const [program = '', ...first] = run.qemuCommand;
  if (run.consolePath !== undefined) await (await open(run.consolePath, 'w')).close();
  const qemu = execa(program, [...first, ...qemuArguments({ ...run, channelPath: channel.path })], {
    stdin: run.mode === 'shell' ? 'inherit' : 'ignore',
    stdout: run.mode === 'shell' ? 'inherit' : 'ignore',
    stderr: 'pipe',
    reject: false,
    timeout: run.mode === 'shell' ? 0 : run.timeoutSeconds * 1000,
    killSignal: 'SIGKILL',
    cancelSignal: run.signal,
  });
  let ended = false;
  let guestFailure: string | undefined;
  let failure: unknown;
  const conversation = (async () => {
    for await (const line of channel.lines()) {
      if (line.startsWith('done')) ended = true;
      if (line.startsWith('failed ')) guestFailure = line.slice('failed '.length);
      await run.onLine(line);
      if (waitsForUs.test(line)) channel.goOn();
    }
  })().catch((error: unknown) => {
    failure = error;
    qemu.kill();
  });
  const result = await qemu;
  channel.close();
  await Promise.race([conversation, new Promise((resolve) => setTimeout(resolve, 1000).unref())]);
  if (failure !== undefined) throw failure;
  if (result.isCanceled) throw new Error('interrupted');
  if (result.timedOut) {
    const tail = await consoleTail(run.consolePath);
    throw new GuestTimeout(`the guest took longer than ${run.timeoutSeconds} s and was cut off${tail}`);
  }
  if (result.exitCode !== 0) {
    const reason = result.stderr.trim().split('\n')[0] || result.shortMessage || 'unknown reason';
    throw new Error(`QEMU failed: ${reason}`);
  }
  if (guestFailure !== undefined) throw new Error(`the guest could not do its work: ${guestFailure}`);
  if (run.mode !== 'shell' && run.mode !== 'probe' && !ended) {
    throw new Error(`the guest stopped before it was done${await consoleTail(run.consolePath)}`);
  }
}
