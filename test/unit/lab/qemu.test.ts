/** The QEMU command line of a lab guest. */
import { describe, expect, test } from 'vitest';
import { type GuestMachine, qemuArguments } from '../../../kernel-shim/lab/qemu.js';

const guest: GuestMachine = {
  accelerator: 'tcg',
  cpus: 4,
  memoryMiB: 256,
  kernelPath: '/k/bzImage',
  initramfsPath: '/k/initramfs.gz',
  mode: 'run',
  consolePath: '/k/console.log',
  channelPath: '/s/channel.sock',
};

const text = (changes: Partial<GuestMachine>) => qemuArguments({ ...guest, ...changes }).join(' ');

describe('QEMU arguments', () => {
  test('guest memory is shared: the service reads it', () => {
    expect(text({})).toContain('memory-backend-memfd,id=ram,size=256M,share=on');
  });

  test('a request queue for each processor beside the control queue', () => {
    expect(text({ devicePath: '/s/guest.sock' })).toContain(
      '"virtio-id":13,"num_vqs":5,"vq_size":256,"config_size":64',
    );
  });

  test('without a service there is no device and no driver', () => {
    expect(text({})).not.toContain('vhost-user');
    expect(text({})).toContain('tmemd.driver=0');
    expect(text({ devicePath: '/s/guest.sock' })).toContain('tmemd.driver=1');
  });

  test('a guest that the service serves a disk, or that is compared with one, never swaps its own code', () => {
    expect(text({})).not.toContain('rootfstype');
    expect(text({ diskPath: '/s/disk.sock' })).toContain('rootfstype=ramfs');
    expect(text({ rootStays: true })).toContain('rootfstype=ramfs');
    expect(text({ swapStays: true })).toContain('tmemd.swap_stays=1');
  });

  test('the swap disk goes past the host’s page cache', () => {
    expect(text({ swapDiskPath: '/d/swap.raw' })).toContain(
      'file=/d/swap.raw,if=none,id=swap,format=raw,cache=none',
    );
  });

  test('unless it is to be cached', () => {
    expect(text({ swapDiskPath: '/d/swap.raw', swapDiskCache: 'writeback' })).toContain(
      'file=/d/swap.raw,if=none,id=swap,format=raw,cache=writeback',
    );
  });

  test('zram and the measuring of round trips are asked of init', () => {
    expect(text({ zramMiB: 640, roundTrips: true })).toMatch(/tmemd\.round_trips=1 tmemd\.zram=640M/);
    expect(text({})).not.toMatch(/round_trips|zram/);
  });

  test('the disk with the files is known by its serial number, and goes past the page cache too', () => {
    expect(text({ fileDiskPath: '/d/files.raw' })).toContain(
      'file=/d/files.raw,if=none,id=files,format=raw,cache=none -device virtio-blk-pci,drive=files,serial=files',
    );
  });

  test('a comma in a path is not taken for the end of it', () => {
    expect(text({ swapDiskPath: '/d/a,b.raw' })).toContain('file=/d/a,,b.raw,if=none');
  });

  test('the workload’s size and seed reach the guest by its command line', () => {
    const line = text({ workload: { megabytes: 640, processes: 2, seed: 7 } });
    expect(line).toContain('tmemd.megabytes=640 tmemd.processes=2 tmemd.seed=7');
  });

  test('KVM takes the host’s processor, software emulation runs a thread for each', () => {
    expect(text({ accelerator: 'kvm' })).toContain('-accel kvm -cpu host');
    expect(text({})).toContain('-accel tcg,thread=multi');
  });
});
