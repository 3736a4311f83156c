/** What must not appear in a guest kernel's log. */

const complaints = [
  /rcu.*(detected|self-detected) stall/i,
  /soft lockup/,
  /hard LOCKUP/,
  /blocked for more than \d+ seconds/,
  /\bWARNING: /,
  /needs updating/, // a driver of an interface that the kernel has given up
  /\bBUG: /,
  /kernel BUG at/,
  /\bOops: /,
  /Kernel panic/,
  /Out of memory: Killed/,
  /lost page|data loss/i,
  /I\/O error/,
  /workload: /,
];

/** The log's lines that say something went wrong; empty for a clean log. */
export function complaintsIn(log: string): string[] {
  return log
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => complaints.some((complaint) => complaint.test(line)));
}

/** The last lines, for somebody who has to find out what happened. */
export function tailOf(log: string, lines = 20): string {
  return log.trimEnd().split('\n').slice(-lines).join('\n');
}
