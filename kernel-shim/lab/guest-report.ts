/** What the guest says about its run: the lines of its init, collected. */
import { z } from 'zod';

const workloadResult = z.object({
  seed: z.number(),
  megabytes: z.number(),
  processes: z.number(),
  pages_checked: z.number(),
  pages_corrupt: z.number(),
  phase_seconds: z.record(z.string(), z.number()),
  phase_sectors_read: z.record(z.string(), z.number()).optional(),
  seconds: z.number(),
});

export type WorkloadResult = z.infer<typeof workloadResult>;

/** Counters of the guest's kernel, by the names the script `counters` gives them. */
export type GuestKernelCounters = Record<string, number>;

export class GuestReport {
  result: WorkloadResult | undefined;
  /** Why the guest could not do its work. */
  failure: string | undefined;
  /** Its `uname -r`. */
  release = '';
  /** How its driver takes part in swapping: `frontswap`, `swap-device`, or `none` without a driver. */
  frontEnd = 'none';
  private readonly moments: Record<string, GuestKernelCounters> = {};
  private moment = '';

  /** @throws Error when the guest sends a result that is none */
  take(line: string): void {
    const [word = '', ...rest] = line.split(' ');
    if (word === 'counters') {
      this.moment = rest[0] ?? '';
      this.moments[this.moment] = {};
    } else if (word === 'counter') {
      const counters = this.moments[this.moment];
      if (counters && rest[0] !== undefined) counters[rest[0]] = Number(rest[1]);
    } else if (word === 'result') {
      this.result = workloadResult.parse(JSON.parse(rest.join(' ')));
    } else if (word === 'front_end') {
      this.frontEnd = rest[0] ?? '';
    } else if (word === 'kernel') {
      this.release = rest[0] ?? '';
    } else if (word === 'failed') {
      this.failure = rest.join(' ');
    }
  }

  /** By how much counters grew whose names start with `prefix`; keyed by the rest of the name. */
  growths(prefix: string): Record<string, number> {
    const names = Object.keys(this.moments.after ?? {}).filter((name) => name.startsWith(prefix));
    return Object.fromEntries(names.map((name) => [name.slice(prefix.length), this.growth(name)]));
  }

  /** A counter as it was after the workload; 0 for one this kernel does not have. */
  counted(counter: string): number {
    return this.moments.after?.[counter] ?? 0;
  }

  /** By how much a counter grew over the workload; 0 for one this kernel does not have. */
  growth(counter: string): number {
    return (this.moments.after?.[counter] ?? 0) - (this.moments.before?.[counter] ?? 0);
  }
}
