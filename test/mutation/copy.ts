/**
 * The copy of the checkout in which checks are broken, so that no interrupted run leaves anything broken behind. It
 * stays in build/mutation, and with it its build: the next run compiles what changed. Everything is compiled at -O1.
 */
import { mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { execa } from 'execa';

const ROOT = 'build/mutation';
const PARTS = [
  'addon',
  'src',
  'test',
  'bench',
  'kernel-shim',
  'package.json',
  'tsconfig.json',
  '.biome.json',
];
/** They hold for optimised code too, and a half of the time would be spent in optimising. */
const FLAGS = '-DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-O1 -g1';

/** What test files load. */
const ADDONS = ['tmemd', 'tmemd_mock'];

export const isTestFile = (test: string): boolean => test.endsWith('.ts');

export interface Verdict {
  passed: boolean;
  timedOut: boolean;
  tookMs: number;
  said: string;
}

async function read(path: string): Promise<Buffer | undefined> {
  return readFile(path).catch(() => undefined);
}

/** Brings the copy to the state of the checkout, and touches nothing that is so already. */
export async function refresh(): Promise<void> {
  const listed = await execa('git', [
    'ls-files',
    '-z',
    '--cached',
    '--others',
    '--exclude-standard',
    ...PARTS,
  ]);
  const wanted = new Set(listed.stdout.split('\0').filter((path) => path !== ''));
  for (const path of wanted) {
    const [ours, theirs] = await Promise.all([read(path), read(join(ROOT, path))]);
    if (!ours) wanted.delete(path);
    else if (!theirs?.equals(ours)) await write(path, ours);
  }
  for (const part of PARTS.filter((name) => !name.includes('.'))) {
    for (const entry of await readdir(join(ROOT, part), { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      if (!entry.isDirectory() && !wanted.has(path.slice(ROOT.length + 1))) await rm(path);
    }
  }
  await symlink(join(process.cwd(), 'node_modules'), join(ROOT, 'node_modules')).catch(ignoreExisting);
  await execa('cmake', ['-S', 'addon', '-B', 'build', '-G', 'Ninja', FLAGS], { cwd: ROOT });
}

function ignoreExisting(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EEXIST') throw error;
}

/** @param path as the checkout has it */
export async function write(path: string, contents: Buffer | string): Promise<void> {
  await mkdir(dirname(join(ROOT, path)), { recursive: true });
  await writeFile(join(ROOT, path), contents);
}

/** Makes what the tests run. Throws when it does not compile. */
export async function build(tests: readonly string[]): Promise<void> {
  const programs = tests.filter((test) => !isTestFile(test)).map(programOf);
  // Unit tests read the sources; the others start a service.
  const serves = tests.some((test) => isTestFile(test) && !test.startsWith('test/unit/'));
  const targets = programs.length < tests.length ? [...programs, ...ADDONS] : programs;
  await compile('ninja', ['-C', 'build', ...targets]);
  // Types are another test's business.
  if (serves) {
    await compile('npx', ['tsc', '--noCheck', '--incremental', '--tsBuildInfoFile', 'dist/.tsbuildinfo']);
  }
}

async function compile(command: string, args: string[]): Promise<void> {
  const run = await execa(command, args, { cwd: ROOT, reject: false, all: true });
  if (run.exitCode !== 0) throw new Error(`it does not compile:\n${(run.all ?? '').slice(-3000)}`);
}

function programOf(test: string): string {
  return test.split(' ')[0] ?? test;
}

/** Runs a test that was built. */
export async function run(test: string, limitMs: number): Promise<Verdict> {
  const [program = '', ...args] = test.split(' ');
  // The interleavings are no doctest program: they end by themselves.
  const untilFirst = program.endsWith('_test') ? ['--no-colors', '--abort-after=1'] : [];
  const [command, ...rest] = isTestFile(test)
    ? ['npx', 'vitest', 'run', '--config', 'test/vitest.config.ts', '--bail', '1', test]
    : [join('build/tests', program), ...args, ...untilFirst];
  const ended = await execa(command ?? '', rest, {
    cwd: ROOT,
    reject: false,
    all: true,
    timeout: limitMs,
    killSignal: 'SIGKILL',
  });
  // Of a file that does not parse vitest has no test to count.
  if (isTestFile(test) && /Tests\s+no tests/.test(ended.all ?? ''))
    throw new Error(`${test} runs no test:\n${ended.all}`);
  return {
    passed: ended.exitCode === 0,
    timedOut: ended.timedOut,
    tookMs: ended.durationMs,
    said: ended.all ?? '',
  };
}
