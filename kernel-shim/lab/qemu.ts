/** The QEMU command line of a lab guest. */

export type Accelerator = 'kvm' | 'tcg';

/** How the guest's driver takes part in swapping. */
export const frontEnds = ['frontswap', 'swap-device'] as const;
export type FrontEnd = (typeof frontEnds)[number];

/** Which workload: anonymous memory beyond the guest's own, files beyond its page cache, or one that needs neither. */
export type Job = 'swap' | 'files' | 'cpu';

/** What init in the guest does; see the file `init`. */
export type GuestMode =
  | 'run'
  | 'shell'
  | 'probe'
  | 'kunit'
  | 'disk'
  | 'takeover'
  | 'stress'
  | 'life'
  | 'resume'
  | 'tools'
  | 'states';

export interface GuestMachine {
  accelerator: Accelerator;
  /** QEMU 7.2: it can neither end with its parent nor make the generic device. */
  oldQemu?: boolean;
  cpus: number;
  memoryMiB: number;
  kernelPath: string;
  initramfsPath: string;
  mode: GuestMode;
  /** Where the kernel's log goes; absent: our own terminal. */
  consolePath?: string;
  /** UNIX socket we listen on for the guest's init. */
  channelPath: string;
  swapDiskPath?: string;
  /** Of the swap disk on the host; absent: none. */
  swapDiskCache?: 'none' | 'writeback';
  /** The guest swaps to a zram of this size before its disk. */
  zramMiB?: number;
  /** A disk with a file system, for a workload on files. */
  fileDiskPath?: string;
  /** A second disk to swap to. */
  spareDiskPath?: string;
  /** UNIX socket QEMU listens on for its machine protocol. */
  qmpPath?: string;
  /** Socket of the service; absent: a guest without the device. */
  devicePath?: string;
  /** Of the device; absent: one for each processor. */
  requestQueues?: number;
  /** The device is in a slot of its own, from where it can be unplugged. */
  hotplug?: boolean;
  /** Socket where the service serves a disk, the guest's first. */
  diskPath?: string;
  /**
   * The root's pages are never swapped, as they are not in a guest with `diskPath`, beside which this one is to be held.
   */
  rootStays?: boolean;
  /** Absent: the driver's choice. */
  frontEnd?: FrontEnd;
  /** Measure requests that give the host no work, beside the workload. */
  roundTrips?: boolean;
  /** It is powered off with swap on, after a try to sleep where the driver makes a disk. */
  swapStays?: boolean;
  /** Further words of the kernel's command line. */
  kernelWords?: readonly string[];
  workload?: {
    megabytes: number;
    processes: number;
    seed: number;
    job?: Job;
    stream?: number;
    pause?: string;
  };
}

function kernelCommandLine(guest: GuestMachine): string {
  // On a busy machine the timer of an emulated guest may be taken for one that does not work.
  const words = ['console=ttyS0', 'no_timer_check', 'panic=-1', 'oops=panic', `tmemd.mode=${guest.mode}`];
  words.push(`tmemd.driver=${guest.devicePath === undefined ? 0 : 1}`);
  // QEMU's TCG goes on with what it translated of a frame when another process, the service, writes other code there.
  // Only a guest's own write makes it forget, and here code would come back from the disk without one.
  if (guest.diskPath !== undefined || guest.rootStays) words.push('rootfstype=ramfs');
  words.push(`tmemd.discard=${guest.diskPath === undefined ? 0 : 1}`);
  if (guest.frontEnd !== undefined) {
    words.push(`tmemd.swap_device=${guest.frontEnd === 'swap-device' ? 1 : 0}`);
  }
  if (guest.swapStays) words.push('tmemd.swap_stays=1');
  if (guest.roundTrips) words.push('tmemd.round_trips=1');
  if (guest.zramMiB !== undefined) words.push(`tmemd.zram=${guest.zramMiB}M`);
  for (const [name, value] of Object.entries(guest.workload ?? {})) words.push(`tmemd.${name}=${value}`);
  return [...words, ...(guest.kernelWords ?? [])].join(' ');
}

/** A comma in a value is doubled: QEMU splits its options at single ones. */
const quoted = (value: string): string => value.replaceAll(',', ',,');

/** The tmem device, as `-device` and `device_add` take it. */
export function tmemDevice(requestQueues: number, chardev: string): Record<string, string | number> {
  return {
    driver: 'vhost-user-test-device-pci',
    chardev,
    'virtio-id': 13,
    num_vqs: 1 + requestQueues,
    vq_size: 256,
    config_size: 64,
  };
}

/** Where a device that can be unplugged is. */
export const slot = { bus: 'tmem-slot', id: 'tmem' };

/** QEMU's arguments. */
export function qemuArguments(guest: GuestMachine): string[] {
  const args = ['-no-user-config', '-nodefaults', '-display', 'none', '-no-reboot'];
  // Even where we are killed and cannot stop it.
  if (!guest.oldQemu) args.push('-run-with', 'exit-with-parent=on');
  args.push('-accel', guest.accelerator === 'kvm' ? 'kvm' : 'tcg,thread=multi');
  if (guest.accelerator === 'kvm') args.push('-cpu', 'host');
  args.push('-smp', `${guest.cpus}`, '-m', `${guest.memoryMiB}M`);
  args.push('-object', `memory-backend-memfd,id=ram,size=${guest.memoryMiB}M,share=on`);
  args.push('-machine', 'q35,memory-backend=ram,usb=off,vmport=off');
  args.push('-kernel', guest.kernelPath, '-initrd', guest.initramfsPath, '-append', kernelCommandLine(guest));
  const console = guest.consolePath === undefined ? 'stdio' : `file,path=${quoted(guest.consolePath)}`;
  args.push('-chardev', `${console},id=console${console === 'stdio' ? ',signal=off' : ''}`);
  args.push('-serial', 'chardev:console');
  args.push('-chardev', `socket,id=channel,path=${quoted(guest.channelPath)}`, '-serial', 'chardev:channel');
  if (guest.qmpPath !== undefined) args.push('-qmp', `unix:${quoted(guest.qmpPath)},server=on,wait=off`);
  if (guest.diskPath !== undefined) {
    // Of a service that comes after the one that ends.
    const reconnect = guest.oldQemu ? 'reconnect=1' : 'reconnect-ms=500';
    args.push('-chardev', `socket,id=disk,path=${quoted(guest.diskPath)},${reconnect}`);
    args.push('-device', `vhost-user-blk-pci,chardev=disk,num-queues=${guest.cpus}`);
  }
  if (guest.swapDiskPath !== undefined) {
    const cache = guest.swapDiskCache ?? 'none';
    args.push('-drive', `file=${quoted(guest.swapDiskPath)},if=none,id=swap,format=raw,cache=${cache}`);
    args.push('-device', 'virtio-blk-pci,drive=swap');
  }
  for (const [id, disk] of [
    ['files', guest.fileDiskPath],
    ['spare', guest.spareDiskPath],
  ] as const) {
    if (disk === undefined) continue;
    args.push('-drive', `file=${quoted(disk)},if=none,id=${id},format=raw,cache=none`);
    args.push('-device', `virtio-blk-pci,drive=${id},serial=${id}`);
  }
  if (guest.devicePath !== undefined) {
    args.push('-chardev', `socket,id=tmem,path=${quoted(guest.devicePath)}`);
    if (guest.hotplug) args.push('-device', `pcie-root-port,id=${slot.bus},chassis=1`);
    const requestQueues = guest.requestQueues ?? guest.cpus;
    const device = { ...tmemDevice(requestQueues, 'tmem'), ...(guest.hotplug && slot) };
    args.push('-device', JSON.stringify(device));
  }
  return args;
}
