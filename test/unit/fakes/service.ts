/** A real service: in this process on the real addon, or as a process of its own. */
import { closeSync, existsSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { onTestFinished } from 'vitest';
import { type FdConnection, native } from '../../../src/native/addon.js';
import { message, NEED_REPLY, u32, u64 } from './front-end.js';

export const main = new URL('../../../dist/src/cli/main.js', import.meta.url).pathname;

/** A folder of its own for a test's sockets. */
export function scratchFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'tmemd-test-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Runs the compiled command line to its end. */
export async function tmemd(args: string[], environment: NodeJS.ProcessEnv = {}) {
  if (!existsSync(main)) throw new Error(`${main} is missing: run \`npm run build\` first`);
  const run = await execa('node', [main, ...args], { reject: false, env: environment, timeout: 90_000 });
  return { status: run.exitCode, stdout: run.stdout, stderr: run.stderr };
}

type LogLine = { msg: string; level: string } & Record<string, unknown>;

/** `tmemd serve` with the flags given, ready. It is ended with the test. */
export async function serve(args: string[], options: { stdio?: ('ignore' | 'pipe' | number)[] } = {}) {
  const child = execa('node', [main, 'serve', ...args], {
    reject: false,
    buffer: false,
    stdio: (options.stdio ?? ['ignore', 'pipe', 'pipe']) as ['ignore', 'pipe', 'pipe'],
  });
  const log: LogLine[] = [];
  const waiting: (() => void)[] = [];
  void (async () => {
    for await (const line of child.iterable({ from: 'stderr' })) {
      log.push(JSON.parse(line as string) as LogLine);
      for (const notify of waiting.splice(0)) notify();
    }
  })();
  /** The `nth` line with this message, once it is written. */
  const logged = async (text: string, nth = 0): Promise<LogLine> => {
    for (;;) {
      const line = log.filter(({ msg }) => msg === text)[nth];
      if (line) return line;
      const ended = await Promise.race([
        child.then(() => true),
        new Promise<false>((resolve) => waiting.push(() => resolve(false))),
      ]);
      if (ended && !log.some(({ msg }) => msg === text))
        throw new Error(`ended; log: ${JSON.stringify(log)}`);
    }
  };
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await child;
  });
  const ready = await logged('ready');
  return { child, log, logged, ready };
}

/** A front end that speaks over a real socket. */
export class FrontEnd {
  readonly connection: FdConnection;

  constructor(path: string) {
    this.connection = native.connectUnix(path);
    onTestFinished(() => this.connection.close());
  }

  send(number: number, payload?: Buffer, fds?: number[]): Promise<void> {
    return this.connection.write(message(number, payload), fds);
  }

  /** Sends a request and returns the payload of its reply. */
  async ask(number: number, payload?: Buffer): Promise<Buffer> {
    await this.send(number, payload);
    const header = await this.connection.read(12);
    const payloadBytes = header.bytes.readUInt32LE(8);
    return (await this.connection.read(payloadBytes)).bytes;
  }

  async negotiate(): Promise<this> {
    await this.send(16, u64(await this.ask(15).then((payload) => payload.readBigUInt64LE())));
    await this.send(3);
    await this.send(2, u64(await this.ask(1).then((payload) => payload.readBigUInt64LE())));
    return this;
  }

  /** Negotiates, and takes the device with a page of memory. */
  async take(): Promise<this> {
    await this.negotiate();
    const path = join(scratchFolder(), 'memory');
    writeFileSync(path, Buffer.alloc(4096));
    const memory = openSync(path, 'r+');
    const table = message(5, Buffer.concat([u32(1, 0), u64(0, 4096, 0, 0)]), NEED_REPLY);
    await this.connection.write(table, [memory]);
    closeSync(memory);
    const answer = await this.connection.read(12 + 8);
    if (answer.bytes.readBigUInt64LE(12) !== 0n) throw new Error('the memory was refused');
    return this;
  }

  /** Resolves when the service has closed the connection. */
  async closed(): Promise<void> {
    await this.connection.read(1).then(
      () => Promise.reject(new Error('still open, and a byte came')),
      () => undefined,
    );
  }
}
