/**
 * The real service as a process of its own, with a configuration file and
 * sockets in a folder that goes with it. For tests and bench alike.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { AdminClient } from '../../src/admin/client.js';
import { packageRoot } from '../../src/native/load.js';

/** Generous: a loaded machine is no failure of the service. */
const READY_MS = 60_000;
/** The service itself gives up long before. */
const STOP_MS = 60_000;

export interface ServiceSettings {
  memory?: string;
  settling?: boolean;
  /** The arena's file. */
  arena?: string;
  /** Where its sockets are, so that another may come after it; stays when it stops. Absent: one of its own. */
  folder?: string;
  /** By guest name: further keys of its section, as in the configuration file. */
  guests: Record<string, Record<string, string | number | boolean>>;
}

type LogLine = { msg: string } & Record<string, unknown>;

export class Service {
  readonly folder: string;
  readonly admin: AdminClient;
  readonly log: LogLine[] = [];
  /** Lines on stderr that are not a log: what a crash leaves behind. */
  readonly noise: string[] = [];
  readonly #child: ChildProcess;
  readonly #keepsFolder: boolean;
  #exit: { code: number | null; signal: NodeJS.Signals | null } | undefined;

  private constructor(folder: string, keepsFolder: boolean, child: ChildProcess) {
    this.folder = folder;
    this.#keepsFolder = keepsFolder;
    this.#child = child;
    this.admin = new AdminClient(this.adminSocket);
    child.on('exit', (code, signal) => {
      this.#exit = { code, signal };
    });
  }

  /** Resolves when the service is ready to be connected to. */
  static async start(settings: ServiceSettings): Promise<Service> {
    const folder = settings.folder ?? mkdtempSync(join(tmpdir(), 'tmemd-'));
    const main = join(packageRoot(), 'dist', 'src', 'cli', 'main.js');
    if (!existsSync(main)) throw new Error(`${main} is missing: run \`npm run build\` first`);
    const config = join(folder, 'config.toml');
    writeFileSync(config, configText(settings, folder));
    const child = spawn(process.execPath, [main, 'serve', '--config', config], {
      stdio: ['ignore', 'inherit', 'pipe'],
    });
    const service = new Service(folder, settings.folder !== undefined, child);
    try {
      await service.#ready();
    } catch (error) {
      child.kill('SIGKILL');
      service.#clearUp();
      throw error;
    }
    return service;
  }

  #ready(): Promise<void> {
    return new Promise((resolve, reject) => {
      const { stderr } = this.#child;
      if (!stderr) throw new Error('stderr is not a pipe');
      const timer = setTimeout(() => reject(new Error('the service was not ready in time')), READY_MS);
      createInterface(stderr).on('line', (text) => {
        const line = logLine(text);
        if (line) this.log.push(line);
        else this.noise.push(text);
        if (line?.msg !== 'ready') return;
        clearTimeout(timer);
        resolve();
      });
      this.#child.once('exit', () => {
        clearTimeout(timer);
        const said = [...this.noise, ...this.log.map((line) => JSON.stringify(line))].join('\n');
        reject(new Error(`the service ended: ${said}`));
      });
    });
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }
  get running(): boolean {
    return this.#exit === undefined;
  }
  get adminSocket(): string {
    return join(this.folder, 'admin.sock');
  }
  socket(guest: string): string {
    return join(this.folder, `${guest}.sock`);
  }

  /** Descriptors the process holds open now. */
  openFds(): number {
    return readdirSync(`/proc/${this.pid}/fd`).length;
  }

  /** Processor time used so far, all threads, in seconds. */
  cpuSeconds(): number {
    const stat = readFileSync(`/proc/${this.pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const USER_HZ = 100;
    return (Number(fields[11]) + Number(fields[12])) / USER_HZ;
  }

  /** How often its threads have slept so far, and so been woken. */
  wakes(): number {
    const tasks = `/proc/${this.pid}/task`;
    return readdirSync(tasks).reduce((sum, task) => {
      const status = readFileSync(join(tasks, task, 'status'), 'utf8');
      return sum + Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(status)?.[1] ?? 0);
    }, 0);
  }

  /** Resident memory in bytes. */
  residentBytes(): number {
    const status = readFileSync(`/proc/${this.pid}/status`, 'utf8');
    return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024;
  }

  /** `tmemd ctl` against this service. */
  ctl(...args: string[]): Promise<{ status: number; stdout: string; stderr: string }> {
    const main = join(packageRoot(), 'dist', 'src', 'cli', 'main.js');
    return new Promise((resolve) => {
      execFile(
        process.execPath,
        [main, 'ctl', '--admin-socket', this.adminSocket, ...args],
        (error, stdout, stderr) => resolve({ status: Number(error?.code ?? 0), stdout, stderr }),
      );
    });
  }

  /** SIGKILL: it has no time to do anything. Resolves when it is gone. */
  async kill(): Promise<void> {
    const ended = this.#exit ? undefined : new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGKILL');
    await ended;
  }

  #clearUp(): void {
    if (!this.#keepsFolder) rmSync(this.folder, { recursive: true, force: true });
  }

  /** SIGTERM, as an administrator stops it; how it ended. Idempotent. */
  async stop(): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
    await this.admin.close().catch(() => undefined);
    if (!this.#exit) {
      const ended = new Promise((resolve) => this.#child.once('exit', resolve));
      this.#child.kill('SIGTERM');
      const timer = setTimeout(() => this.#child.kill('SIGKILL'), STOP_MS);
      await ended;
      clearTimeout(timer);
    }
    this.#clearUp();
    return this.#exit ?? { code: null, signal: null };
  }
}

function logLine(text: string): LogLine | undefined {
  try {
    return JSON.parse(text) as LogLine;
  } catch {
    return undefined;
  }
}

function configText(
  { memory = '256MiB', settling = true, arena, guests }: ServiceSettings,
  folder: string,
): string {
  const lines = [
    '[store]',
    `memory = "${memory}"`,
    `settling = ${settling}`,
    ...(arena === undefined ? [] : [`arena = ${JSON.stringify(arena)}`]),
    '[admin]',
    `socket = "${join(folder, 'admin.sock')}"`,
    '[log]',
    'level = "info"',
  ];
  for (const [name, keys] of Object.entries(guests)) {
    lines.push(`[guest.${name}]`, `socket = "${join(folder, `${name}.sock`)}"`);
    for (const [key, value] of Object.entries(keys)) lines.push(`${key} = ${JSON.stringify(value)}`);
  }
  return `${lines.join('\n')}\n`;
}
