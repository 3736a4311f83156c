/**
 * When the driver leaves frontswap to zswap: what kernel-shim/lab/takeover_check finds in a guest with Debian's generic
 * 6.1, whose zswap is built in. Each refusal is one line of the kernel's log, and the swap device is there instead.
 * That it takes frontswap over otherwise is in matrix.test.ts.
 */
import { expect, onTestFinished, test } from 'vitest';
import { complaintsIn } from '../../kernel-shim/lab/kernel-log.js';
import { Service } from '../mock/service.js';
import { artefactsOrSkip, CLEAN_UP_MS } from './lab-machine.js';
import { runScript } from './scripted-guest.js';

const refusal = (why: string) => `frontswap is not taken over, ${why}: the swap device is offered instead`;

const refused = (name: string, why: string) => ({
  [`${name}_log`]: refusal(why),
  [`${name}_lines`]: '1',
  [`${name}_front_end`]: 'swap-device',
  [`${name}_disk`]: 'yes',
});

test('frontswap is not taken from a zswap that may be in use, nor from a locked-down kernel', {
  timeout: 900_000,
}, async ({ skip }) => {
  const artefacts = await artefactsOrSkip('6.1-generic', skip);
  const service = await Service.start({ guests: { guest: { reserve: '16MiB' } } });
  onTestFinished(async () => void (await service.stop()), CLEAN_UP_MS);
  const found: Record<string, string> = {};
  const log = await runScript({
    artefacts,
    cpus: 2,
    memoryMiB: 256,
    mode: 'takeover',
    swapDiskMiB: 512,
    devicePath: service.socket('guest'),
    onLine(line) {
      const [word, name = '', ...value] = line.split(' ');
      if (word === 'takeover') found[name] = value.join(' ');
    },
  });

  expect(found).toEqual({
    not_asked_log: '',
    not_asked_lines: '0',
    not_asked_front_end: 'swap-device',
    not_asked_disk: 'yes',
    // A module that never used frontswap can go again.
    not_asked_unloaded: 'yes',
    ...refused('swap_on', 'swap is on'),
    swap_on_unloaded: 'yes',
    ...refused('zswap_used', 'zswap holds pages'),
    zswap_pages: 'same',
    locked_down_log: refusal('the kernel is locked down'),
    locked_down_disk: 'yes',
  });
  expect(complaintsIn(log)).toEqual([]);
});
