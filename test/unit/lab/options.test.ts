/** The lab's command line: defaults, what is allowed, and one-line errors. */
import { describe, expect, test } from 'vitest';
import { parseOptions, reserve } from '../../../kernel-shim/lab/options.js';

function complaint(...args: string[]): string {
  try {
    parseOptions(args);
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error('accepted');
}

describe('options of npm run guest', () => {
  test('without any: two vCPUs, 256 MiB, more touched than 600 MiB, the service’s own store size', () => {
    const options = parseOptions([]);
    expect(options).toMatchObject({
      cpus: 2,
      guestMemoryMiB: 256,
      kernel: '5.10',
      personality: 'tmem',
      json: false,
      shell: false,
    });
    expect(options.workloadMiB).toBeGreaterThanOrEqual(600);
    expect(options).not.toHaveProperty('memory');
  });

  test('the workload follows the guest’s memory unless it is given', () => {
    expect(parseOptions(['--guest-memory', '1GiB']).workloadMiB).toBe(2560);
    expect(parseOptions(['--guest-memory', '1GiB', '--workload', '64']).workloadMiB).toBe(64);
  });

  test('files take twice the guest’s memory unless the workload is given', () => {
    expect(parseOptions(['--job', 'files']).workloadMiB).toBe(512);
    expect(parseOptions(['--job', 'files', '--workload', '64', '--stream', '32'])).toMatchObject({
      job: 'files',
      workloadMiB: 64,
      streamMiB: 32,
    });
  });

  test('a job without need of memory takes little of it', () => {
    expect(parseOptions(['--job', 'cpu']).workloadMiB).toBeLessThan(64);
  });

  test('a comparison runs everything three times unless told otherwise', () => {
    expect(parseOptions(['--compare'])).toMatchObject({ compare: true, trials: 3 });
    expect(parseOptions(['--compare', '--trials', '5']).trials).toBe(5);
  });

  test('the reserve is what a swap device needs, unless it is given', () => {
    const of = (...args: string[]) => reserve(parseOptions(args));
    expect(of()).toBeUndefined();
    expect(of('--front-end', 'swap-device')).toBe('640MiB');
    expect(of('--kernel', '6.12')).toBe('640MiB');
    expect(of('--kernel', '6.1-generic')).toBeUndefined();
    expect(of('--kernel', '6.1-generic', '--front-end', 'swap-device')).toBe('640MiB');
    expect(of('--kernel', '6.12', '--personality', 'blk')).toBeUndefined();
    expect(of('--kernel', '6.12', '--memory', '64MiB')).toBe('48MiB');
    expect(of('--kernel', '6.12', '--reserve', '1GiB')).toBe('1GiB');
  });

  test.each([
    [['--cpus', '0'], /--cpus.*'0'.*1 to 16/],
    [['--cpus', 'two'], /--cpus.*'two'/],
    [['--memory', 'banana'], /--memory.*'banana'.*a size like/],
    [['--kernel', '4.4'], /--kernel.*'4\.4'.*5\.10/],
    [['--guest-memory', '64'], /--guest-memory.*'64'.*128MiB/],
    [['--workload', '1TB'], /--workload.*'1TB'/],
    [['--job', 'mine'], /--job.*'mine'.*swap, files, cpu/],
    [['--stream', 'x'], /--stream.*'x'/],
    [['--reserve', 'all'], /--reserve.*'all'.*a size like/],
    [['--seed', '-1'], /--seed/],
    [['--timeout', '0'], /--timeout.*'0'/],
    [['--json', '--shell'], /--json.*--shell/],
    [['--kernel-image', '/no/such/image'], /--kernel-image.*'\/no\/such\/image'.*no such file/],
    [['--kernel-image', '/dev/null'], /--kernel-image and --kernel-build go together/],
    [['--kernel', 'all', '--shell'], /--kernel all goes without/],
    [['--compare', '--baseline'], /--compare goes without/],
    [['--compare', '--kernel', '6.12'], /--compare goes without/],
    [['--trials', '0'], /--trials.*'0'.*1 to 100/],
    [['--front-end', 'floppy'], /--front-end.*'floppy'.*frontswap, swap-device/],
    [['--frobnicate'], /--frobnicate/],
    [['stray'], /stray|too many/],
  ])('%j is refused in one line that says what is wrong', (args, expected) => {
    const message = complaint(...args);
    expect(message).toMatch(expected);
    expect(message.trim()).not.toContain('\n');
  });
});
