/** vhost-user-blk disks, driven through the same kind of ring: tmemd's own, and QEMU's storage daemon over a file in memory. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BlkGuest } from '../../test/mock/blk-guest.js';
import { mock } from '../../test/mock/mock.js';
import { Service } from '../../test/mock/service.js';
import { PAGE_BYTES } from '../corpus.js';
import type { PageKeeper } from '../paging.js';
import { CORPUS_REGION, extraBytes, loadInto } from './guest-corpus.js';
import { absent, endProcess, listening } from './server.js';
import type { RunningSubject, Subject, SubjectCorpus } from './subject.js';

const RING_SIZE = 256;
const BLOCK_BYTES = 512;

/** A front end on a disk that serves at `socket`; the rest is the disk's. */
function attached(
  socket: string,
  corpus: SubjectCorpus,
  disk: Pick<RunningSubject, 'memoryBytes' | 'stop'>,
): RunningSubject {
  const guest = new BlkGuest(socket, { ringSize: RING_SIZE, slots: 1, extraBytes: extraBytes(corpus) });
  const address = loadInto(guest.memory, corpus);
  return {
    keeper(depth): PageKeeper {
      const load = new mock.BlkLoad(guest.ring(0), CORPUS_REGION, depth, address);
      return { put: (pages) => load.write(pages), get: (pages, verify) => load.read(pages, verify) };
    },
    floor: new mock.Floor(guest.memory, address, corpus.pages),
    memoryBytes: disk.memoryBytes,
    async stop() {
      guest.close();
      await disk.stop();
    },
  };
}

export const tmemdDisk: Subject = {
  own: true,
  depths: 'several',
  missing: () => undefined,
  async start(corpus) {
    const sizeBytes = corpus.pages * PAGE_BYTES;
    // A disk's reserve is all of it, at worst-case cost.
    const memory = `${Math.ceil((sizeBytes * 1.5) / 2 ** 20) + 64}MiB`;
    const guests = { bench: { personality: 'blk', size: `${Math.ceil(sizeBytes / 1024)}KiB` } };
    const service = await Service.start({ memory, guests });
    try {
      return attached(service.socket('bench'), corpus, {
        memoryBytes: async () => (await service.admin.store()).usedBytes,
        stop: async () => void (await service.stop()),
      });
    } catch (error) {
      await service.stop();
      throw error;
    }
  },
};

/** Where a file is memory. */
const SHARED_MEMORY = '/dev/shm';

export const storageDaemon: Subject = {
  depths: 'several',
  missing() {
    if (!existsSync(SHARED_MEMORY)) return `there is no ${SHARED_MEMORY} for a file in memory`;
    return absent('qemu-storage-daemon', 'qemu-system-common');
  },
  async start(corpus) {
    const folder = mkdtempSync(join(tmpdir(), 'tmemd-bench-'));
    const image = join(mkdtempSync(join(SHARED_MEMORY, 'tmemd-bench-')), 'disk');
    const removeFiles = () => {
      rmSync(folder, { recursive: true, force: true });
      rmSync(join(image, '..'), { recursive: true, force: true });
    };
    writeFileSync(image, '');
    truncateSync(image, corpus.pages * PAGE_BYTES);
    const socket = join(folder, 'blk.sock');
    const daemon = spawn(
      'qemu-storage-daemon',
      [
        // An I/O thread polls for a moment before it sleeps, as our worker does.
        ...['--object', 'iothread,id=io'],
        ...['--blockdev', `driver=file,node-name=file,filename=${image}`],
        ...['--blockdev', 'driver=raw,node-name=disk,file=file'],
        '--export',
        `type=vhost-user-blk,id=bench,node-name=disk,iothread=io,writable=on,addr.type=unix,addr.path=${socket}`,
      ],
      { stdio: ['ignore', 'ignore', 'inherit'] },
    );
    const stop = async () => {
      await endProcess(daemon);
      removeFiles();
    };
    try {
      await listening(socket, daemon);
      return attached(socket, corpus, {
        memoryBytes: () => statSync(image).blocks * BLOCK_BYTES,
        stop,
      });
    } catch (error) {
      await stop();
      throw error;
    }
  },
};
