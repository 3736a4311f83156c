/**
 * The swap device as a disk: what kernel-shim/lab/disk_check finds in a guest. Never-written and discarded pages are
 * zeros, without a request; what was written is there; swapoff works while swap is in use; another life of the driver
 * finds nothing of the old one; with the guest's pages dropped under it, what was there fails and writes go on; and with
 * the service killed a read of a page only it had fails, and no other.
 */
import { expect, onTestFinished, test } from 'vitest';
import { complaintsIn } from '../../kernel-shim/lab/kernel-log.js';
import { Service } from '../mock/service.js';
import { artefactsOrSkip, CLEAN_UP_MS } from './lab-machine.js';
import { runScript } from './scripted-guest.js';

const MEBIBYTE = 2 ** 20;
const RESERVE_MIB = 96;
const WORKLOAD_MIB = 320;
/** 1 MiB of the driver's last life, half of it discarded. */
const PAGES_BEFORE_KILL = 128;

/** What `read` resolves to once it is `expected`, or after a minute. */
async function settled(expected: number, read: () => Promise<number>): Promise<number> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const value = await read();
    if (value === expected || Date.now() > deadline) return value;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

test('what the swap device promises, it does', { timeout: 600_000 }, async ({ skip }) => {
  const artefacts = await artefactsOrSkip('6.12', skip);
  const service = await Service.start({ guests: { guest: { reserve: `${RESERVE_MIB}MiB` } } });
  onTestFinished(async () => void (await service.stop()), CLEAN_UP_MS);
  const found: Record<string, string> = {};
  let corrupt: unknown;
  let logBeforeLoss = '';
  let logBeforeKill = '';
  let pagesBeforeKill = -1;
  const log = await runScript({
    artefacts,
    cpus: 2,
    memoryMiB: 256,
    mode: 'disk',
    swapDiskMiB: WORKLOAD_MIB + 64,
    devicePath: service.socket('guest'),
    frontEnd: 'swap-device',
    workload: { megabytes: WORKLOAD_MIB, processes: 2, seed: 1 },
    async onLine(line, log) {
      const [word, name = '', ...value] = line.split(' ');
      if (word === 'disk') found[name] = value.join(' ');
      if (word === 'result') corrupt = JSON.parse(line.slice('result '.length)).pages_corrupt;
      if (line === 'held session') {
        logBeforeLoss = log();
        expect(await service.ctl('guest', 'drop', 'guest', '--force')).toMatchObject({ status: 0 });
      }
      if (line === 'held') {
        logBeforeKill = log();
        // Discards leave a little later than they are made.
        pagesBeforeKill = await settled(PAGES_BEFORE_KILL, async () => {
          return (await service.admin.guest('guest')).counters.persistentPages;
        });
        service.kill();
      }
    },
  });

  expect(found).toEqual({
    sectors: `${(RESERVE_MIB * MEBIBYTE) / 512}`,
    block_bytes: '4096',
    fresh_other_than_zero: '0',
    fresh_loads: '0',
    fresh_zero_loads: expect.stringMatching(/^[1-9]\d+$/),
    written_pages: '2048',
    written_same: 'yes',
    discarded_other_than_zero: '0',
    before_discarded_same: 'yes',
    after_discarded_same: 'yes',
    rewritten_same: 'yes',
    swapoff_while_swapping: 'done',
    workload: 'done',
    lost_loads: '0',
    failed_stores: '0',
    reloaded: 'done',
    reloaded_other_than_zero: '0',
    session_write: 'done',
    session_lost_page_reads: 'failed',
    session_written_page_reads: 'as written',
    session_fresh_page_reads: 'zeros',
    session_rewrite: 'done',
    session_rewritten_page_reads: 'as written',
    session_failed_stores: '0',
    dead_discarded_other_than_zero: '0',
    dead_fresh_other_than_zero: '0',
    dead_read: 'failed',
    dead_lost_loads: expect.stringMatching(/^[1-9]\d*$/),
  });
  expect(corrupt).toBe(0);
  expect(complaintsIn(logBeforeLoss)).toEqual([]);
  const sinceLoss = logBeforeKill.slice(logBeforeLoss.length);
  expect(sinceLoss.match(/DATA LOSS: the host lost our session, and 2 pages/g)).toHaveLength(1);
  // Of the read, the driver and the kernel: of nothing else.
  expect(complaintsIn(sinceLoss).filter((line) => !/DATA LOSS|tmemswap0/.test(line))).toEqual([]);
  expect(pagesBeforeKill).toBe(PAGES_BEFORE_KILL);
  expect(log).toMatch(/DATA LOSS: page 0 /);
});
