/**
 * libvirt as README.md has it: a domain made of the XML that stands there, with a disk and a tmem device of one service, is
 * defined, started, writes, is stopped, and finds its disk when it is started again.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { expect, onTestFinished, test } from 'vitest';
import {
  cacheFolder,
  checkout,
  libvirtdCommand,
  makeArtefacts,
  virshCommand,
} from '../../kernel-shim/lab/artefacts.js';
import { GuestChannel } from '../../kernel-shim/lab/channel.js';
import { complaintsIn } from '../../kernel-shim/lab/kernel-log.js';
import { Service } from '../mock/service.js';
import { CLEAN_UP_MS } from './lab-machine.js';

const MIB = 2 ** 20;
const DISK_MIB = 16;
const RESERVE_MIB = 12;
const START_MS = 60_000;
/** Where README's examples have the service's socket. */
const README_SOCKET = '/run/tmemd/web.sock';

/** The two pieces of XML in README: a domain with a tmem device, in which `...` stands for the rest, and a disk. */
function readmeXml(): { domain: string; disk: string } {
  const readme = readFileSync(path.join(checkout, 'README.md'), 'utf8');
  const blocks = [...readme.matchAll(/^ *```xml\n(.*?)^ *```$/gms)].map(([, xml = '']) => xml);
  const find = (element: string) => blocks.find((xml) => xml.trimStart().startsWith(`<${element} `)) ?? '';
  return { domain: find('domain'), disk: find('disk') };
}

/** Replaces the one place where `xml` has `what`. */
function replaced(xml: string, what: string, by: string): string {
  expect(xml.split(what).length - 1, `${what} in README's\n${xml}`).toBe(1);
  return xml.replace(what, by);
}

interface Places {
  kernelPath: string;
  initramfsPath: string;
  channelPath: string;
  consolePath: string;
  diskSocket: string;
  tmemSocket: string;
}

/** README's domain with README's disk, and what else a domain has. */
function domainXml(places: Places): string {
  const { domain, disk } = readmeXml();
  const rest = `
    <name>web</name>
    <memory unit='MiB'>256</memory>
    <vcpu>2</vcpu>
    <os>
      <type arch='x86_64' machine='q35'>hvm</type>
      <kernel>${places.kernelPath}</kernel>
      <initrd>${places.initramfsPath}</initrd>
      <cmdline>console=ttyS0 no_timer_check panic=-1 oops=panic tmemd.mode=domain</cmdline>
    </os>
    <features><acpi/></features>
    <on_reboot>destroy</on_reboot>
    <devices>
      ${replaced(disk, README_SOCKET, places.diskSocket)}
      <serial type='file'><source path='${places.consolePath}'/><target port='0'/></serial>
      <serial type='unix'><source mode='connect' path='${places.channelPath}'/><target port='1'/></serial>
      <controller type='usb' model='none'/>
      <memballoon model='none'/>
    </devices>`;
  const emulated = replaced(domain, "type='kvm'", "type='qemu'");
  return replaced(replaced(emulated, README_SOCKET, places.tmemSocket), '...', rest);
}

/** What libvirt-root.sh needs of the machine. */
function namespacesAreAllowed(): boolean {
  try {
    execFileSync('unshare', ['--map-root-user', '--mount', '--pid', '--fork', 'true'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

test("a libvirt domain with README's XML is started, writes, is stopped, and finds its disk when it is started again", {
  timeout: 600_000,
}, async ({ skip }) => {
  if (!namespacesAreAllowed()) skip('no mount namespace for libvirtd: unshare(1) is not allowed here');
  const { signal } = new AbortController();
  const { kernelFolder, initramfsPath } = await makeArtefacts('5.10', signal);
  const folder = mkdtempSync(path.join(tmpdir(), 'tmemd-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }), CLEAN_UP_MS);
  const service = await Service.start({
    folder,
    guests: {
      disk: { personality: 'blk', size: `${DISK_MIB}MiB` },
      guest: { reserve: `${RESERVE_MIB}MiB` },
    },
  });
  onTestFinished(async () => void (await service.stop()), CLEAN_UP_MS);
  const channel = await GuestChannel.listen(path.join(folder, 'channel.sock'));
  onTestFinished(() => channel.close());

  const places = {
    kernelPath: path.join(kernelFolder, 'bzImage'),
    initramfsPath,
    channelPath: channel.path,
    consolePath: path.join(folder, 'console.log'),
    diskSocket: service.socket('disk'),
    tmemSocket: service.socket('guest'),
  };
  const [program = '', ...args] = await libvirtdCommand(folder, [folder, cacheFolder()], signal);
  const libvirtd = execa(program, args, { all: true, reject: false });
  let libvirtdSaid = '';
  libvirtd.all.on('data', (text) => {
    libvirtdSaid += text;
  });
  onTestFinished(async () => {
    libvirtd.kill();
    await libvirtd;
  }, CLEAN_UP_MS);
  const [client = '', ...first] = await virshCommand(folder, signal);
  const virsh = async (...command: string[]): Promise<string> => {
    const { stdout, stderr, exitCode } = await execa(client, [...first, ...command], { reject: false });
    if (exitCode !== 0) throw new Error(`virsh ${command.join(' ')}: ${stderr}\n${libvirtdSaid}`);
    return stdout.trim();
  };
  await expect.poll(() => virsh('uri').catch(String), { timeout: START_MS }).toMatch(/^qemu/);

  /** From its start to its end; `atHeld` is called when all of it is written. Resolves to what the guest said. */
  const live = async (atHeld: () => Promise<unknown>): Promise<Record<string, string>> => {
    const said: Record<string, string> = {};
    const conversation = (async () => {
      for await (const line of channel.lines()) {
        const [word, name = '', ...value] = line.split(' ');
        if (word === 'domain') said[name] = value.join(' ');
        if (word === 'held') await atHeld();
        if (word === 'held' || word === 'done') channel.goOn();
      }
    })();
    await virsh('start', 'web');
    await conversation;
    await expect.poll(() => virsh('domstate', 'web'), { timeout: START_MS }).toBe('shut off');
    return said;
  };

  writeFileSync(path.join(folder, 'domain.xml'), domainXml(places));
  await virsh('define', '--validate', path.join(folder, 'domain.xml'));
  const expected = {
    sectors: `${(DISK_MIB * MIB) / 512}`,
    serial: 'disk',
    disk_written: 'as written',
    driver: 'loaded',
    tmem_found: 'zeros',
    tmem_written: 'as written',
  };
  expect(await live(() => virsh('destroy', 'web'))).toEqual({ ...expected, disk_found: 'zeros' });
  expect(complaintsIn(readFileSync(places.consolePath, 'latin1'))).toEqual([]);
  expect(await live(() => Promise.resolve())).toEqual({ ...expected, disk_found: 'as written' });
  expect(complaintsIn(readFileSync(places.consolePath, 'latin1'))).toEqual([]);
  expect(await service.admin.check()).toEqual({ ok: true, problem: '' });
});
