/**
 * QEMU's microvm, whose virtio devices are legacy ones unless it is told otherwise: what such a guest and its service say of
 * that, and that with the setting they name both of the service's devices work.
 */
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { execa } from 'execa';
import { expect, onTestFinished, test } from 'vitest';
import { microvmTools } from '../../kernel-shim/lab/artefacts.js';
import { GuestChannel } from '../../kernel-shim/lab/channel.js';
import { complaintsIn } from '../../kernel-shim/lab/kernel-log.js';
import { Service } from '../mock/service.js';
import { until } from './driven-guest.js';
import { artefactsOrSkip, CLEAN_UP_MS, orSkip, prepareMachine } from './lab-machine.js';

/** What cures it, as both sides say it. */
const CURE = '-global virtio-mmio.force-legacy=false';
const RESERVE_MIB = 8;

test('a microvm with legacy virtio is told the setting that cures it, and with that its disk and its tmem device work', {
  timeout: 600_000,
}, async ({ skip }) => {
  const { signal } = new AbortController();
  const artefacts = await artefactsOrSkip('6.12', skip);
  const tools = await orSkip(microvmTools(artefacts.kernelFolder, signal), skip);
  const machine = await prepareMachine(artefacts, 1, 256);
  onTestFinished(machine.remove, CLEAN_UP_MS);
  const { folder } = machine;
  const initramfs = path.join(folder, 'initramfs.gz');
  execFileSync('sh', ['-c', 'cat "$1" "$2" >"$3"', 'sh', artefacts.initramfsPath, tools, initramfs]);
  const service = await Service.start({
    folder,
    guests: { disk: { personality: 'blk', size: '8MiB' }, guest: { reserve: `${RESERVE_MIB}MiB` } },
  });
  onTestFinished(async () => void (await service.stop()), CLEAN_UP_MS);
  const channel = await GuestChannel.listen(path.join(folder, 'channel.sock'));
  onTestFinished(() => channel.close());
  const [program = '', ...first] = artefacts.qemuCommand;

  /** From power-on to its end; resolves to what the guest said. With `cutOff` it is not asked to power itself off. */
  const boot = async (further: string[], cutOff: boolean): Promise<Record<string, string>> => {
    const said: Record<string, string> = {};
    const ended = new AbortController();
    const conversation = (async () => {
      for await (const line of channel.lines()) {
        const [word, name = '', ...value] = line.split(' ');
        if (word === 'microvm') said[name] = value.join(' ');
        if (word !== 'done') continue;
        if (cutOff) return ended.abort();
        channel.goOn();
      }
    })();
    const qemu = execa(
      program,
      [
        ...[
          ...first,
          '-no-user-config',
          '-nodefaults',
          '-display',
          'none',
          '-no-reboot',
          '-accel',
          'tcg',
          ...further,
        ],
        ...['-run-with', 'exit-with-parent=on', '-smp', '1', '-m', '256M'],
        ...[
          '-object',
          'memory-backend-memfd,id=ram,size=256M,share=on',
          '-machine',
          'microvm,memory-backend=ram',
        ],
        ...['-kernel', path.join(artefacts.kernelFolder, 'bzImage'), '-initrd', initramfs],
        ...[
          '-append',
          'console=ttyS0 no_timer_check tsc_early_khz=2000000 panic=-1 oops=panic rootfstype=ramfs tmemd.mode=microvm',
        ],
        ...[
          '-chardev',
          `file,id=console,path=${path.join(folder, 'console.log')}`,
          '-serial',
          'chardev:console',
        ],
        ...[
          '-chardev',
          `socket,id=channel,path=${channel.path}`,
          '-device',
          'isa-serial,chardev=channel,index=1',
        ],
        // A disk that does not start is waited for, for ever, before what comes after it.
        ...['-chardev', `socket,id=tmem,path=${service.socket('guest')}`],
        ...[
          '-device',
          'vhost-user-test-device,chardev=tmem,virtio-id=13,num_vqs=2,vq_size=256,config_size=64',
        ],
        ...['-chardev', `socket,id=disk,path=${service.socket('disk')},reconnect-ms=500`],
        ...['-device', 'vhost-user-blk,chardev=disk,num-queues=1'],
      ],
      { reject: false, stdin: 'ignore', timeout: 240_000, cancelSignal: ended.signal },
    );
    const { exitCode, isCanceled, stderr } = await qemu;
    expect(isCanceled || exitCode === 0, `${stderr}\n${machine.console().slice(-4000)}`).toBe(true);
    await conversation;
    return said;
  };

  // Who looks for partitions on a disk that does not start waits for ever, and power-off for that.
  const legacy = await boot([], true);
  expect(legacy).toEqual({ driver: expect.stringContaining(CURE) });
  await until('the service says it, too', () => service.log.some(({ error }) => `${error}`.includes(CURE)));
  const modern = await boot(CURE.split(' '), false);
  expect(modern).toEqual({
    driver: expect.stringContaining(`reserve ${(RESERVE_MIB * 2 ** 20) / 4096}`),
    tmem_written_and_read: 'yes',
    disk_written_and_read: 'yes',
  });
  expect(complaintsIn(machine.console())).toEqual([]);
});
