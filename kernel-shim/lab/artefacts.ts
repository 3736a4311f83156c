/** What the lab's shell scripts make and keep in the cache: kernel, initramfs, QEMU. */
import { homedir } from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { packageRoot } from '../../src/native/load.js';

export const checkout = packageRoot();

/** The guest kernels the lab knows, and what makes them: those it builds, one with the driver in it, and Debian's. */
const kernelScripts = {
  '5.10': 'kernel.sh',
  '5.10-debug': 'kernel.sh',
  '6.1-in-tree': 'in-tree-kernel.sh',
  '6.1': 'stock-kernel.sh',
  '6.1-generic': 'stock-kernel.sh',
  '6.12': 'stock-kernel.sh',
  '7.x': 'stock-kernel.sh',
} as const;

export type Kernel = keyof typeof kernelScripts;
export const kernels = Object.keys(kernelScripts) as Kernel[];

/** A kernel somebody built, and the folder it was built in. */
export interface OwnKernel {
  image: string;
  build: string;
}

export interface Artefacts {
  /** Folder with bzImage and, unless the driver is in it, the tree modules are built against. */
  kernelFolder: string;
  initramfsPath: string;
  /** Program and first arguments. */
  qemuCommand: string[];
}

/** The folder everything outside the checkout goes to. */
export function cacheFolder(environment: NodeJS.ProcessEnv = process.env): string {
  const home = environment.XDG_CACHE_HOME || path.join(environment.HOME || homedir(), '.cache');
  return environment.TMEMD_CACHE_DIR || path.join(home, 'tmemd');
}

/** A kernel whose packages cannot be had on this machine: a reason to skip it, not a failure. */
export class KernelUnavailable extends Error {}

/** What these end with when a kernel's packages cannot be fetched. */
const exitUnavailable = 3;
const fetchKernels = ['stock-kernel.sh', 'source-tree.sh', 'in-tree-kernel.sh', 'microvm-tools.sh'];

/** Runs a script of the lab; its progress goes to our stderr. Resolves to the lines it printed. */
async function script(name: string, args: string[], signal: AbortSignal): Promise<string[]> {
  const file = path.join(checkout, 'kernel-shim/lab', name);
  const { stdout, exitCode } = await execa('bash', [file, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
    reject: false,
    cancelSignal: signal,
  });
  if (exitCode === exitUnavailable && fetchKernels.includes(name))
    throw new KernelUnavailable(`Debian's kernel ${args[0]} cannot be fetched here`);
  if (exitCode !== 0) throw new Error(`${name} failed`);
  return stdout.split('\n');
}

/** Program and first arguments of Debian 12's QEMU, 7.2. */
export function oldQemuCommand(signal: AbortSignal): Promise<string[]> {
  return script('qemu.sh', ['debian12'], signal);
}

/** An archive to put behind a guest's initramfs for the mode `tools`. */
export async function diskTools(signal: AbortSignal): Promise<string> {
  const [path = ''] = await script('disk-tools.sh', [], signal);
  return path;
}

/** An archive to put behind the initramfs of a kernel of Debian's for the mode `microvm`. */
export async function microvmTools(kernelFolder: string, signal: AbortSignal): Promise<string> {
  const [path = ''] = await script('microvm-tools.sh', [kernelFolder], signal);
  return path;
}

/** Program and first arguments of one of QEMU's tools, which know vhost-user disks by a library of their own. */
export function blockTool(
  name: 'qemu-io' | 'qemu-img' | 'qemu-storage-daemon',
  signal: AbortSignal,
): Promise<string[]> {
  return script('block-tools.sh', [name], signal);
}

/** Program and arguments of a libvirtd with a root of its own in `folder`, where it also sees `paths`. */
export function libvirtdCommand(folder: string, paths: string[], signal: AbortSignal): Promise<string[]> {
  return script('libvirt.sh', ['libvirtd', folder, ...paths], signal);
}

/** Program and first arguments of virsh, connected to that libvirtd. */
export function virshCommand(folder: string, signal: AbortSignal): Promise<string[]> {
  return script('libvirt.sh', ['virsh', folder], signal);
}

/** A kernel's source tree to put the driver into, built; not to be written to: a copy is. */
export async function sourceTree(version: string, signal: AbortSignal): Promise<string> {
  const [path = ''] = await script('source-tree.sh', [version], signal);
  return path;
}

/** The folder of one of the lab's kernels. */
export async function kernelFolder(kernel: Kernel, signal: AbortSignal): Promise<string> {
  const [folder = ''] = await script(kernelScripts[kernel], [kernel], signal);
  return folder;
}

/** Makes what is missing, first to last: minutes on a fresh machine, nothing after that. */
export async function makeArtefacts(kernel: Kernel | OwnKernel, signal: AbortSignal): Promise<Artefacts> {
  const qemuCommand = await script('qemu.sh', [], signal);
  const [folder = ''] =
    typeof kernel === 'string'
      ? [await kernelFolder(kernel, signal)]
      : await script('own-kernel.sh', [kernel.image, kernel.build], signal);
  const [initramfsPath = ''] = await script('initramfs.sh', [folder], signal);
  return { kernelFolder: folder, initramfsPath, qemuCommand };
}
