/** The native sockets: exact reads, descriptors that come and go, and what becomes of them on every path. */
import { once } from 'node:events';
import {
  closeSync,
  fstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type FdConnection, type FdListener, native } from '../../../src/native/addon.js';

/** Open descriptors of this process. */
function openFdCount(): number {
  return readdirSync('/proc/self/fd').length;
}

let folder: string;
let socketPath: string;
/** And the environment's epoll and its eventfd, which stay. */
const idleFdCount = openFdCount() + 2;

beforeEach(async () => {
  // Sockets are closed elsewhere: those of the test before, too.
  await expect.poll(openFdCount, { timeout: 60_000 }).toBeLessThanOrEqual(idleFdCount);
  folder = mkdtempSync(path.join(tmpdir(), 'tmemd-sockets-'));
  socketPath = path.join(folder, 's');
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

async function pair(): Promise<{ listener: FdListener; server: FdConnection; client: FdConnection }> {
  const listener = native.listenUnix(socketPath, 0o600);
  const client = native.connectUnix(socketPath);
  const server = await listener.accept();
  return { listener, server, client };
}

describe('a listener', () => {
  test('makes its socket with the mode asked for', () => {
    const listener = native.listenUnix(socketPath, 0o620);
    expect(statSync(socketPath).mode & 0o777).toBe(0o620);
    listener.close();
    listener.close();
  });

  test('refuses a path that is in use, too long or not a string', () => {
    const listener = native.listenUnix(socketPath, 0o600);
    expect(() => native.listenUnix(socketPath, 0o600)).toThrow(
      expect.objectContaining({ code: 'EADDRINUSE' }),
    );
    expect(() => native.listenUnix('x'.repeat(200), 0o600)).toThrow(
      expect.objectContaining({ code: 'ENAMETOOLONG' }),
    );
    expect(() => native.listenUnix(5 as unknown as string, 0o600)).toThrow(/^path must be a string/);
    expect(() => native.listenUnix(socketPath, 0o1777)).toThrow(/^mode must be an integer from 0 to 511/);
    listener.close();
  });

  test('rejects a pending and a later accept once closed', async () => {
    const listener = native.listenUnix(socketPath, 0o600);
    const pending = listener.accept();
    expect(() => listener.accept()).toThrow(/in progress/);
    listener.close();
    await expect(pending).rejects.toMatchObject({ code: 'TMEMD_CLOSED' });
    await expect(listener.accept()).rejects.toMatchObject({ code: 'TMEMD_CLOSED' });
  });
});

describe('a connection', () => {
  test('names its peer', async () => {
    const { listener, server, client } = await pair();
    expect(server.peer).toEqual({ pid: process.pid, uid: process.getuid?.(), gid: process.getgid?.() });
    for (const socket of [listener, server, client]) socket.close();
    expect(() => server.peer).toThrow(expect.objectContaining({ code: 'TMEMD_CLOSED' }));
  });

  test('carries bytes and descriptors, and reads exactly as many as asked for', async () => {
    const before = openFdCount();
    const { listener, server, client } = await pair();
    const file = openSync('/dev/null', 'r');
    const inode = fstatSync(file).ino;
    await client.write(Buffer.from('header'), [file, file]);
    await client.write(Buffer.from('body'));
    closeSync(file);

    const header = await server.read(6);
    expect(header.bytes.toString()).toBe('header');
    expect(header.fdsTruncated).toBe(false);
    expect(header.fds).toHaveLength(2);
    for (const fd of header.fds) {
      expect(fstatSync(fd).ino).toBe(inode);
      // Close-on-exec (O_CLOEXEC is 02000000 in fdinfo).
      expect(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8')).toMatch(/flags:\s+0?2\d{6}/);
      closeSync(fd);
      expect(() => fstatSync(fd)).toThrow(/EBADF/);
    }
    expect((await server.read(2)).bytes.toString()).toBe('bo');
    const rest = server.read(4);
    await client.write(Buffer.from('dy'));
    expect((await rest).bytes.toString()).toBe('dydy');
    for (const socket of [listener, server, client]) socket.close();
    // Two stay: the environment's epoll and its eventfd.
    await expect.poll(openFdCount).toBeLessThanOrEqual(before + 2);
  });

  test('says that more descriptors came than a read may carry, and closes those with the connection', async () => {
    const { listener, server, client } = await pair();
    const file = openSync('/dev/null', 'r');
    const before = openFdCount();
    // Two messages of 32: a read of both would carry 64.
    const many = Array.from({ length: 32 }, () => file);
    const read = server.read(2);
    await client.write(Buffer.from('a'), many);
    await client.write(Buffer.from('b'), many);
    const received = await read;
    expect(received.fds).toHaveLength(32);
    expect(received.fdsTruncated).toBe(true);
    for (const fd of received.fds) closeSync(fd);
    await server.close();
    await expect.poll(openFdCount).toBeLessThanOrEqual(before - 1);
    closeSync(file);
    for (const socket of [listener, client]) socket.close();
  });

  test('tells an end of stream between messages from one within, and is closed with what came', async () => {
    for (const [sent, code] of [
      ['', 'TMEMD_CLOSED'],
      ['abc', 'TMEMD_TRUNCATED'],
    ] as const) {
      const { listener, server, client } = await pair();
      const file = openSync('/dev/null', 'r');
      const before = openFdCount();
      const read = server.read(12);
      if (sent !== '') await client.write(Buffer.from(sent), [file, file]);
      const rejected = expect(read).rejects.toMatchObject({ code });
      await client.close();
      await rejected;
      await server.close();
      // Less where the listener of the round before was closed only now.
      await expect.poll(openFdCount).toBeLessThanOrEqual(before - 2);
      closeSync(file);
      listener.close();
      rmSync(socketPath);
    }
  });

  test('reads what comes a byte at a time', async () => {
    const { listener, server, client } = await pair();
    const read = server.read(5);
    for (const byte of Buffer.from('hello')) {
      await client.write(Buffer.from([byte]));
      await new Promise(setImmediate);
    }
    expect((await read).bytes.toString()).toBe('hello');
    for (const socket of [listener, server, client]) socket.close();
  });

  test('rejects a pending read and later calls once closed, and closes once', async () => {
    const { listener, server, client } = await pair();
    const pending = server.read(1);
    expect(() => server.read(1)).toThrow(/in progress/);
    server.close();
    server.close();
    await expect(pending).rejects.toMatchObject({ code: 'TMEMD_CLOSED' });
    await expect(server.read(1)).rejects.toMatchObject({ code: 'TMEMD_CLOSED' });
    await expect(server.write(Buffer.from('x'))).rejects.toMatchObject({ code: 'TMEMD_CLOSED' });
    await expect(client.read(1)).rejects.toMatchObject({ code: 'TMEMD_CLOSED' });
    listener.close();
    client.close();
  });

  test('queues writes that a slow reader holds up, in order and with their descriptors', async () => {
    const { listener, server, client } = await pair();
    const file = openSync('/dev/null', 'r');
    const big = Buffer.alloc(1 << 20, 1);
    const writes = [client.write(big, [file]), client.write(Buffer.alloc(1 << 20, 2), [file])];
    closeSync(file);
    for (const fill of [1, 2]) {
      const received = await server.read(1 << 20);
      expect(received.bytes.every((byte) => byte === fill)).toBe(true);
      expect(received.fds).toHaveLength(1);
      for (const fd of received.fds) closeSync(fd);
    }
    await Promise.all(writes);
    for (const socket of [listener, server, client]) socket.close();
  });

  test('names the argument that is wrong', async () => {
    const { listener, server, client } = await pair();
    expect(() => server.read(0)).toThrow(/^lengthBytes must be an integer from 1 to 1048576/);
    expect(() => server.write('x' as unknown as Buffer)).toThrow(/^bytes must be a Buffer/);
    expect(() => server.write(Buffer.alloc(1), [-1])).toThrow(/^fds must be an integer from 0/);
    expect(() => server.write(Buffer.alloc(1), [987654])).toThrow(expect.objectContaining({ code: 'EBADF' }));
    for (const socket of [listener, server, client]) socket.close();
  });
});

describe('a descriptor not to be trusted', () => {
  test('is told by its kind', async () => {
    const { listener, server, client } = await pair();
    const file = openSync('/dev/null', 'r');
    const listening = net.createServer().listen(path.join(folder, 'node'));
    await once(listening, 'listening');
    const connecting = net.connect(path.join(folder, 'node'));
    await once(connecting, 'connect');
    expect(native.descriptorKind(file)).toBe('other');
    expect(native.descriptorKind(fdOf(listening))).toBe('other');
    expect(native.descriptorKind(fdOf(connecting))).toBe('unix-stream');
    expect(native.descriptorKind(987654)).toBe('other');
    expect(() => native.descriptorKind(-1)).toThrow(/^fd must be an integer from 0/);
    connecting.destroy();
    listening.close();
    closeSync(file);
    for (const socket of [listener, server, client]) socket.close();
  });

  test('is closed elsewhere, with others, once', async () => {
    const files = [openSync('/dev/null', 'r'), openSync('/dev/null', 'r')];
    await native.closeFds(files);
    for (const fd of files) expect(() => fstatSync(fd)).toThrow(/EBADF/);
    await native.closeFds([]);
    expect(() => native.closeFds(5 as unknown as number[])).toThrow(/^fds must be an array/);
  });
});

describe('an inherited descriptor', () => {
  test('is told apart by what it is', async () => {
    const file = openSync('/dev/null', 'r');
    expect(() => native.adoptSocket(file)).toThrow(expect.objectContaining({ code: 'ENOTSOCK' }));

    // Sockets as descriptors: Node's own, duplicated through a connection of ours.
    const listening = net.createServer().listen(path.join(folder, 'node'));
    await once(listening, 'listening');
    const connecting = net.connect(path.join(folder, 'node'));
    await once(connecting, 'connect');
    const { listener, server, client } = await pair();
    await client.write(Buffer.from('x'), [fdOf(listening), fdOf(connecting)]);
    const { fds } = await server.read(1);
    const kinds = fds.map((fd) => native.adoptSocket(fd));
    expect(kinds.map((kind) => Object.keys(kind))).toEqual([['listener'], ['connection']]);
    for (const kind of kinds) ('listener' in kind ? kind.listener : kind.connection).close();
    for (const socket of [listener, server, client]) socket.close();
    connecting.destroy();
    listening.close();
  });
});

function fdOf(socket: net.Server | net.Socket): number {
  return (socket as unknown as { _handle: { fd: number } })._handle.fd;
}
