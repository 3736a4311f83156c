/**
 * The service under a running guest is replaced: the device is unplugged, and another one plugged in that belongs to
 * another service, all through QEMU's machine protocol and `tmemd ctl`.
 */
import { afterEach, expect, test } from 'vitest';
import { complaintsIn } from '../../kernel-shim/lab/kernel-log.js';
import { slot, tmemDevice } from '../../kernel-shim/lab/qemu.js';
import { Service } from '../mock/service.js';
import { type DrivenGuest, type DrivenGuestOptions, prepareGuest, until } from './driven-guest.js';
import { CLEAN_UP_MS } from './lab-machine.js';

const TEST_MS = 600_000;
const CPUS = 2;
let guest: DrivenGuest | undefined;
let successor: Service | undefined;

afterEach(async () => {
  await guest?.close();
  await successor?.stop();
  successor = undefined;
}, CLEAN_UP_MS);

const persistentPages = async (service: Service): Promise<number> =>
  (await service.admin.guest('guest')).counters.persistentPages;

/** The tasks that came to a page that is lost. */
const waiting = (log: string): Set<string> =>
  new Set(
    Array.from(log.matchAll(/DATA LOSS: page .*: (\S+\[\d+\]), .* waits for ever/g), ([, task = '']) => task),
  );

async function unplug(driven: DrivenGuest): Promise<void> {
  await driven.qmp('device_del', { id: slot.id }, 'DEVICE_DELETED');
  await driven.qmp('chardev-remove', { id: 'tmem' });
}

/** Its device is to be unplugged, and the driver has said what that waits for. */
const waits = (driven: DrivenGuest): boolean => /not removed for \d+ s: /.test(driven.console());

const isPlugged = async (driven: DrivenGuest): Promise<boolean> => {
  const devices = (await driven.qmp('qom-list', { path: '/machine/peripheral' })) as { name: string }[];
  return devices.some(({ name }) => name === slot.id);
};

async function plug(driven: DrivenGuest, service: Service): Promise<void> {
  const addr = { type: 'unix', data: { path: service.socket('guest') } };
  await driven.qmp('chardev-add', {
    id: 'tmem2',
    backend: { type: 'socket', data: { addr, server: false } },
  });
  await driven.qmp('device_add', { ...tmemDevice(CPUS, 'tmem2'), ...slot });
}

test(
  'a guest under pressure is drained, its device unplugged without loss, and it swaps into the service that comes next',
  async () => {
    const driven = await prepareGuest({}, { hotplug: true, pause: 'check' });
    guest = driven;
    let drained: Awaited<ReturnType<Service['ctl']>> | undefined;
    let heldBefore = 0;
    driven.at('rewrite', async () => {
      heldBefore = await persistentPages(driven.service);
      drained = await driven.service.ctl('guest', 'drain', 'guest', '--timeout', '240s');
    });
    driven.whilePaused(async () => {
      await unplug(driven);
      await driven.service.stop();
      successor = await Service.start({ guests: { guest: {} } });
      await plug(driven, successor);
    });
    const report = await driven.run();
    expect(drained).toMatchObject({ status: 0, stderr: '' });
    expect(heldBefore).toBeGreaterThan(0);
    expect(report.failure).toBeUndefined();
    expect(report.result?.pages_corrupt).toBe(0);
    expect(report.result?.pages_checked).toBeGreaterThan(0);
    expect(report.growth('swap_disk_writes')).toBeGreaterThan(0);
    expect(complaintsIn(driven.console())).toEqual([]);
    // The counters are those of the second device.
    expect(report.counted('virtio_tmem_succ_stores')).toBeGreaterThan(0);
    expect(report.counted('virtio_tmem_lost_loads')).toBe(0);
    const { counters } = (await successor?.admin.guest('guest')) ?? {};
    expect(counters?.putsGoodTotal).toBe(report.counted('virtio_tmem_succ_stores'));
    expect(counters?.persistentPages).toBe(0);
    expect(await successor?.admin.check()).toEqual({ ok: true, problem: '' });
  },
  TEST_MS,
);

test(
  'a device unplugged without a drain: its pages come home first, and the disk takes what memory has no room for',
  async () => {
    const driven = await prepareGuest({}, { hotplug: true, pause: 'check' });
    guest = driven;
    let heldBefore = 0;
    driven.whilePaused(async () => {
      heldBefore = await persistentPages(driven.service);
      await unplug(driven);
    });
    const report = await driven.run();
    expect(heldBefore).toBeGreaterThan(0);
    expect(report.failure).toBeUndefined();
    expect(report.result?.pages_corrupt).toBe(0);
    expect(report.result?.pages_checked).toBeGreaterThan(0);
    expect(complaintsIn(driven.console())).toEqual([]);
  },
  TEST_MS,
);

/** A guest that is told to let go of its device, and waits with that, checks every page. Resolves to its log. */
async function workWhileUnplugWaits(
  section: Record<string, string>,
  options: Omit<DrivenGuestOptions, 'hotplug' | 'pause'>,
  beforeItGoes: (driven: DrivenGuest) => Promise<void>,
): Promise<string> {
  const driven = await prepareGuest(section, { hotplug: true, pause: 'check', ...options });
  guest = driven;
  let held = 0;
  driven.whilePaused(async () => {
    await driven.qmp('device_del', { id: slot.id });
    await until('it says what it waits for', () => waits(driven), 300);
    held = await persistentPages(driven.service);
    expect(await isPlugged(driven)).toBe(true);
  });
  driven.beforeItGoes(() => beforeItGoes(driven));
  const report = await driven.run();
  expect(held).toBeGreaterThan(0);
  expect(report.failure).toBeUndefined();
  expect(report.result?.pages_corrupt).toBe(0);
  expect(report.result?.pages_checked).toBeGreaterThan(0);
  expect(complaintsIn(driven.console())).toEqual([]);
  return driven.console();
}

test(
  'pages of a second disk, which the driver cannot bring home: the device stays as long as its service lives',
  // No swapoff: 5.10 does not bear one beside the driver's.
  () => workWhileUnplugWaits({}, { firstDiskMiB: 24, swapStays: true }, async () => {}),
  TEST_MS,
);

test(
  'a swap device that is swapped to stays, until swapoff',
  () =>
    workWhileUnplugWaits({ reserve: '64MiB' }, { frontEnd: 'swap-device' }, (driven) =>
      until('it is unplugged', async () => !(await isPlugged(driven)), 300),
    ),
  TEST_MS,
);

test(
  'a device that waits to be unplugged keeps its guest from sleeping, and not from powering off',
  async () => {
    const log = await workWhileUnplugWaits(
      { reserve: '64MiB' },
      { frontEnd: 'swap-device', swapStays: true },
      async (driven) => expect(await isPlugged(driven)).toBe(true),
    );
    expect(log).toContain('no sleep while the device is being removed');
  },
  TEST_MS,
);

test(
  'a device unplugged when its service is dead: the guest lives, is told how many pages it has lost, and gets no other',
  async () => {
    const driven = await prepareGuest({}, { hotplug: true, pause: 'check' });
    guest = driven;
    let held = 0;
    let watched: Promise<void> | undefined;
    const watch = async () => {
      // Any task may be the first, the one that is to start the next phase too.
      await until('a task waits for a lost page', () => waiting(driven.console()).size > 0, 300);
      // What the swap disk has in its place, or a death, would be told within moments; that nothing is, takes them.
      await until('the workload complains', () => /workload: /.test(driven.console()), 5).catch(() => {});
      expect(await driven.qmp('query-status')).toMatchObject({ status: 'running' });
    };
    driven.whilePaused(async () => {
      held = await persistentPages(driven.service);
      driven.service.kill();
      await unplug(driven);
      watched = watch().finally(driven.cutOff);
      watched.catch(() => {}); // told below
    });
    const report = await driven.run();
    await watched;
    expect(held).toBeGreaterThan(0);
    expect(waiting(driven.console()).size).toBeGreaterThan(0);
    expect(report.result).toBeUndefined();
    expect(driven.console()).not.toMatch(/workload: /);
    const lost = /DATA LOSS: removed with (\d+) pages on the host/.exec(driven.console())?.[1];
    // Some may have become nobody's since they were counted.
    expect(Number(lost)).toBeGreaterThan(held / 2);
  },
  TEST_MS,
);
