/** What the lab takes for a complaint of the guest's kernel. */
import { describe, expect, test } from 'vitest';
import { complaintsIn, tailOf } from '../../../kernel-shim/lab/kernel-log.js';

describe('kernel log', () => {
  test.each([
    '[   21.0] rcu: INFO: rcu_sched self-detected stall on CPU',
    '[   21.0] rcu: INFO: rcu_sched detected stalls on CPUs/tasks:',
    '[   44.1] watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [kswapd0:31]',
    '[   12.2] WARNING: CPU: 0 PID: 1 at mm/frontswap.c:242 __frontswap_store+0x1/0x2',
    '[   12.2] BUG: unable to handle page fault for address: 0000000000001000',
    '[  250.0] INFO: task workload:40 blocked for more than 122 seconds.',
    '[    9.9] Kernel panic - not syncing: Attempted to kill init!',
    '[   30.0] blk_update_request: I/O error, dev vda, sector 8',
    '[   30.0] Out of memory: Killed process 40 (workload)',
    'workload: corrupt page 7 of process 0, generation 0, text: byte 3 is 00, not 41',
  ])('complains: %s', (line) => {
    expect(complaintsIn(`[    0.0] Linux version 5.10\n${line}\r\n`)).toEqual([line]);
  });

  test('an ordinary boot is clean', () => {
    const log = [
      '[    0.000000] Linux version 5.10.223-tmemd',
      '[    0.000000] rcu: Hierarchical RCU implementation.',
      '[    0.5] virtio_blk virtio0: [vda] 1572864 512-byte logical blocks',
      '[    1.2] Adding 786428k swap on /dev/vda.  Priority:-2 extents:1 across:786428k FS',
      '[    9.0] reboot: Power down',
    ].join('\n');
    expect(complaintsIn(log)).toEqual([]);
  });

  test('the tail is the last lines', () => {
    expect(tailOf('a\nb\nc\n', 2)).toBe('b\nc');
  });
});
