/** Key-value servers over a UNIX socket, with a page as the value. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PAGE_BYTES } from '../corpus.js';
import { floorOf } from './guest-corpus.js';
import { peers } from './native.js';
import { absent, endProcess, listening, residentBytes } from './server.js';
import type { Subject } from './subject.js';

interface Server {
  program: string;
  debianPackage: string;
  protocol: 'redis' | 'memcached';
  args(socket: string, folder: string, memoryMiB: number): string[];
}

function keyValue({ program, debianPackage, protocol, args }: Server): Subject {
  return {
    depths: 'several',
    missing: () => absent(program, debianPackage),
    async start(corpus) {
      const folder = mkdtempSync(join(tmpdir(), 'tmemd-bench-'));
      const socket = join(folder, 'server.sock');
      const memoryMiB = Math.ceil((corpus.pages * PAGE_BYTES * 2) / 2 ** 20) + 64;
      const server = spawn(program, args(socket, folder, memoryMiB), {
        stdio: ['ignore', 'ignore', 'inherit'],
      });
      const stop = async () => {
        await endProcess(server);
        rmSync(folder, { recursive: true, force: true });
      };
      try {
        await listening(socket, server);
        const before = residentBytes(server.pid ?? 0);
        return {
          keeper: (depth) => new peers.KeyValue(socket, protocol, depth, corpus.file),
          floor: floorOf(corpus),
          memoryBytes: () => residentBytes(server.pid ?? 0) - before,
          stop,
        };
      } catch (error) {
        await stop();
        throw error;
      }
    },
  };
}

/** Nothing is written to disk. */
const redisArgs: Server['args'] = (socket, folder) => [
  ...['--port', '0', '--unixsocket', socket, '--dir', folder],
  ...['--save', '', '--appendonly', 'no', '--daemonize', 'no'],
];

export const redis = keyValue({
  program: 'redis-server',
  debianPackage: 'redis-server',
  protocol: 'redis',
  args: redisArgs,
});

export const valkey = keyValue({
  program: 'valkey-server',
  debianPackage: 'valkey-server',
  protocol: 'redis',
  args: redisArgs,
});

export const memcached = keyValue({
  program: 'memcached',
  debianPackage: 'memcached',
  protocol: 'memcached',
  // -M: says so instead of evicting; -u: allowed to root, meaningless to others.
  args: (socket, _folder, memoryMiB) => ['-s', socket, '-m', `${memoryMiB}`, '-t', '1', '-M', '-u', 'root'],
});
