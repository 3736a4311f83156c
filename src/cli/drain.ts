/**
 * `tmemd ctl guest drain`: asks a guest to take all its persistent pages back
 * and waits until it has, so that its device can be unplugged without loss.
 *
 * The target stays at 0 afterwards, or the guest would fill up again;
 * `guest set NAME target=none` lifts it.
 */
import type { AdminClient } from '../admin/client.js';
import type { GuestStatus } from '../guest/guest.js';
import { CommandFailure } from './command-failure.js';

/** The guest takes its pages back one by one; asking more often tells nothing new. */
const POLL_INTERVAL_MS = 200;

/** Resolves to the drained guest's status; a CommandFailure says how many pages were left. */
export async function drainGuest(
  client: Pick<AdminClient, 'tune' | 'guest'>,
  name: string,
  timeoutMs: number,
): Promise<GuestStatus> {
  const deadlineMs = Date.now() + timeoutMs;
  let status = await client.tune(name, { targetPages: 0 });
  while (status.counters.persistentPages > 0) {
    const left = `guest ${name} still holds ${status.counters.persistentPages} persistent pages`;
    if (status.state === 'absent' || status.state === 'orphaned') {
      throw new CommandFailure(`${left} and is not connected: nobody can take them back`);
    }
    if (Date.now() >= deadlineMs) {
      throw new CommandFailure(
        `${left} after ${timeoutMs / 1000} s; those on a swap device (/dev/tmemswap0) come back by swapoff in the guest`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_INTERVAL_MS));
    status = await client.guest(name);
  }
  return status;
}
