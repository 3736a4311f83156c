/** The real service, started for one run of the lab, and the questions the lab asks it. */
import { createWriteStream } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { execa } from 'execa';
import { checkout } from './artefacts.js';

const cli = path.join(checkout, 'dist/src/cli/main.js');
const readyTimeoutMs = 20_000;

export interface LabService {
  /** The vhost-user socket for QEMU: of the tmem device or of the disk. */
  readonly devicePath: string;
  /** What `tmemd ctl --json` answers. */
  ask(...question: string[]): Promise<unknown>;
  /** Empty when the store's invariants hold, else what does not. */
  check(): Promise<string>;
  /** SIGTERM, and SIGKILL for a service that does not go. Idempotent. */
  close(): Promise<void>;
}

export interface LabServiceOptions {
  /** For the sockets; a short path. */
  folder: string;
  guestName: string;
  /** Serves the guest a disk of this size instead of the tmem device. */
  diskMiB?: number;
  /** The service's --memory; absent: its default. */
  memory?: string;
  /** The guest's reserve; absent: none. */
  reserve?: string;
  logPath: string;
  signal: AbortSignal;
}

/** Resolves once the service is ready. */
export async function startService(options: LabServiceOptions): Promise<LabService> {
  const devicePath = path.join(options.folder, `${options.guestName}.sock`);
  const adminPath = path.join(options.folder, 'admin.sock');
  const memory = options.memory === undefined ? [] : ['--memory', options.memory];
  const configPath = path.join(options.folder, 'tmemd.toml');
  let device = ['--socket-path', devicePath];
  if (options.diskMiB !== undefined) device = ['--disk', `${devicePath}=${options.diskMiB}MiB`];
  if (options.reserve !== undefined) {
    const lines = [`socket = ${JSON.stringify(devicePath)}`, `reserve = ${JSON.stringify(options.reserve)}`];
    await writeFile(configPath, [`[guest.${options.guestName}]`, ...lines, ''].join('\n'));
    device = ['--config', configPath];
  }
  const sockets = [...device, '--admin-socket', adminPath];
  const service = execa(process.execPath, [cli, 'serve', ...memory, ...sockets], {
    stdin: 'ignore',
    stdout: 'ignore',
    stderr: 'pipe',
    buffer: false,
    reject: false,
    forceKillAfterDelay: 5000,
  });
  const log = createWriteStream(options.logPath);
  service.stderr.pipe(log);
  const close = async () => {
    service.kill('SIGTERM');
    await service;
    log.end();
  };
  // Its log is JSON; a plain line is what it has to say to whoever started it.
  let plain = '';
  const ready = new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('the service was not ready in time')), readyTimeoutMs);
    createInterface({ input: service.stderr }).on('line', (line) => {
      if (!line.startsWith('{')) plain ||= line.trim();
      if (line.includes('"msg":"ready"')) resolve();
    });
    options.signal.addEventListener('abort', () => reject(new Error('interrupted')), { once: true });
    void service.then(({ exitCode }) => {
      clearTimeout(timer);
      reject(new Error(`${plain || `the service ended (status ${exitCode})`}; its log: ${options.logPath}`));
    });
  });
  try {
    await ready;
  } catch (error) {
    await close();
    throw error;
  }

  const ctl = (question: string[]) =>
    execa(process.execPath, [cli, 'ctl', '--admin-socket', adminPath, '--json', ...question], {
      reject: false,
    });
  return {
    devicePath,
    async ask(...question) {
      const { stdout, stderr, exitCode } = await ctl(question);
      if (exitCode !== 0)
        throw new Error(`tmemd ctl ${question.join(' ')}: ${stderr.trim() || stdout.trim()}`);
      return JSON.parse(stdout);
    },
    async check() {
      const { stdout, stderr, exitCode } = await ctl(['check']);
      return exitCode === 0 ? '' : stdout.trim() || stderr.trim() || `exit status ${exitCode}`;
    },
    close,
  };
}
