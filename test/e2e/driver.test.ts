/** What the guest driver does when the service stalls or dies, and when the guest stops, reboots or runs out of luck. */
import { afterEach, expect, test } from 'vitest';
import type { GuestReport } from '../../kernel-shim/lab/guest-report.js';
import { complaintsIn } from '../../kernel-shim/lab/kernel-log.js';
import { type DrivenGuest, prepareGuest, until } from './driven-guest.js';
import { CLEAN_UP_MS } from './lab-machine.js';

const TEST_MS = 600_000;
let guest: DrivenGuest | undefined;

afterEach(() => guest?.close(), CLEAN_UP_MS);

/** In the midst of it: so many more pages were put. */
async function untilPut(driven: DrivenGuest, pages: number): Promise<void> {
  const goal = (await driven.pagesPut()) + pages;
  await until(`${pages} more pages are put`, async () => (await driven.pagesPut()) >= goal);
}

async function diskWrites(driven: DrivenGuest): Promise<number> {
  const devices = (await driven.qmp('query-blockstats')) as { stats: { wr_operations: number } }[];
  return devices.reduce((sum, { stats }) => sum + stats.wr_operations, 0);
}

async function untilDiskIsWritten(driven: DrivenGuest): Promise<void> {
  const before = await diskWrites(driven);
  await until('stores go to the disk', async () => (await diskWrites(driven)) > before);
}

/** Stores that failed, but for those that a busy machine did not answer within the driver's second. */
function failedStores(report: GuestReport): number {
  return report.counted('virtio_tmem_failed_stores') - report.counted('virtio_tmem_refused_timeout');
}

function expectEveryPageRight(report: GuestReport): void {
  expect(report.failure).toBeUndefined();
  expect(report.result?.pages_corrupt).toBe(0);
  expect(report.result?.pages_checked).toBeGreaterThan(0);
  for (const counter of ['lost_loads', 'kept_stores', 'bad_responses', 'flush_failures', 'refused_error'])
    expect(report.counted(`virtio_tmem_${counter}`), counter).toBe(0);
}

test(
  'a service that stalls: stores go to the disk after a second, loads wait, and all goes on with the service',
  async () => {
    const driven = await prepareGuest();
    guest = driven;
    driven.at('fill', async () => {
      await untilPut(driven, 1000);
      process.kill(driven.service.pid, 'SIGSTOP');
      await untilDiskIsWritten(driven);
      process.kill(driven.service.pid, 'SIGCONT');
    });
    const report = await driven.run();
    expectEveryPageRight(report);
    expect(report.counted('virtio_tmem_refused_timeout')).toBeGreaterThan(0);
    expect(report.counted('virtio_tmem_late_completions')).toBe(report.counted('virtio_tmem_timeouts'));
    expect(complaintsIn(driven.console())).toEqual([]);
  },
  TEST_MS,
);

test(
  'within the reserve stores are not waited for, and none is lost to a service that stalls',
  async () => {
    const driven = await prepareGuest({ reserve: '128MiB' });
    guest = driven;
    driven.at('fill', async () => {
      await untilPut(driven, 1000);
      process.kill(driven.service.pid, 'SIGSTOP');
      await untilDiskIsWritten(driven);
      process.kill(driven.service.pid, 'SIGCONT');
    });
    const report = await driven.run();
    expectEveryPageRight(report);
    expect(report.counted('virtio_tmem_staged_stores')).toBeGreaterThan(0);
    expect(report.counted('virtio_tmem_refused_host')).toBe(0);
    expect(complaintsIn(driven.console())).toEqual([]);
  },
  TEST_MS,
);

test(
  'beyond the reserve stores are waited for, so that one that is refused goes to the disk',
  async () => {
    const driven = await prepareGuest({ reserve: '8MiB', limit: '24MiB' });
    guest = driven;
    const report = await driven.run();
    expectEveryPageRight(report);
    expect(report.counted('virtio_tmem_staged_stores')).toBeGreaterThan(0);
    expect(report.counted('virtio_tmem_refused_host')).toBeGreaterThan(0);
    expect(complaintsIn(driven.console())).toEqual([]);
  },
  TEST_MS,
);

test(
  'a service that is killed: the guest lives, its stores go to the disk and its loads wait, loudly',
  async () => {
    const driven = await prepareGuest();
    guest = driven;
    driven.at('fill', async () => {
      await untilPut(driven, 1000);
      process.kill(driven.service.pid, 'SIGKILL');
      await untilDiskIsWritten(driven);
      await until('the log says that loads wait', () => /still waiting/.test(driven.console()));
      expect(await driven.qmp('query-status')).toMatchObject({ status: 'running' });
      driven.cutOff();
    });
    await driven.run();
    expect(complaintsIn(driven.console())).toEqual([]);
  },
  TEST_MS,
);

test(
  'a guest that is stopped and continued goes on where it was',
  async () => {
    const driven = await prepareGuest();
    guest = driven;
    driven.at('fill', async () => {
      for (let round = 0; round < 4; round++) {
        await untilPut(driven, 500);
        await driven.qmp('stop');
        expect(await driven.qmp('query-status')).toMatchObject({ status: 'paused' });
        await driven.qmp('cont');
      }
    });
    const report = await driven.run();
    expectEveryPageRight(report);
    expect(failedStores(report)).toBe(0);
    expect(complaintsIn(driven.console())).toEqual([]);
  },
  TEST_MS,
);

test(
  'a guest that is reset swaps again, and the pools of its old life are gone',
  async () => {
    const driven = await prepareGuest();
    guest = driven;
    driven.at('check', async () => {
      await driven.qmp('set-action', { reboot: 'reset' });
      await driven.qmp('system_reset');
    });
    const report = await driven.run();
    expectEveryPageRight(report);
    // swapoff has brought back or dropped every page of this life.
    const shown = JSON.parse((await driven.service.ctl('--json', 'guest', 'show', 'guest')).stdout);
    expect(shown.counters.putsGoodTotal).toBeGreaterThan(report.counted('virtio_tmem_succ_stores'));
    expect(shown.counters.pages).toBe(0);
    expect(complaintsIn(driven.console())).toEqual([]);
  },
  TEST_MS,
);

test(
  'a guest at its limit is refused and swaps to its disk as well',
  async () => {
    const driven = await prepareGuest({ limit: '16MiB' });
    guest = driven;
    const report = await driven.run();
    expectEveryPageRight(report);
    expect(report.counted('virtio_tmem_refused_host')).toBeGreaterThan(0);
    expect(report.counted('virtio_tmem_refused_host')).toBe(failedStores(report));
    expect(report.growth('swap_disk_writes')).toBeGreaterThan(0);
    expect(complaintsIn(driven.console())).toEqual([]);
  },
  TEST_MS,
);

test(
  'a guest that is asked to come down to a target does, and stays there, within its reserve too',
  async () => {
    const driven = await prepareGuest({ reserve: '128MiB' }, { pause: 'check' });
    guest = driven;
    const TARGET_PAGES = 1024;
    const held = async () => (await driven.service.admin.guest('guest')).counters.persistentPages;
    driven.at('fill', async () => {
      await untilPut(driven, 4 * TARGET_PAGES);
      await driven.service.ctl('guest', 'set', 'guest', `target=${TARGET_PAGES * 4}KiB`);
    });
    driven.whilePaused(() => until('it has come down', async () => (await held()) <= TARGET_PAGES));
    let most = 0;
    driven.at('release', async () => {
      most = await held();
    });
    const report = await driven.run();
    expectEveryPageRight(report);
    // Each processor may be in the midst of a store that began below the target.
    expect(most).toBeLessThanOrEqual(TARGET_PAGES + 2);
    expect(report.counted('virtio_tmem_refused_target')).toBeGreaterThan(0);
    expect(report.counted('virtio_tmem_staged_stores')).toBeGreaterThan(0);
    expect(report.growth('swap_disk_writes')).toBeGreaterThan(0);
    expect(complaintsIn(driven.console())).toEqual([]);
  },
  TEST_MS,
);
