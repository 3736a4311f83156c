/**
 * The file an arena lies in. With one, pages outlive the service: it may be
 * stopped, killed or replaced, and the next takes its guests over by name.
 *
 * The file must be on a tmpfs, because an arena is memory and a disk would write
 * all of it back, and there must be room for the whole capacity, because memory
 * that is not there when a page is stored ends the process, with a line that
 * says so.
 *
 * A new one gets its name when it is whole: a start that is killed leaves nothing
 * under that name, at worst a small file beside it.
 */
import { randomUUID } from 'node:crypto';
import {
  closeSync,
  constants,
  fstatSync,
  linkSync,
  openSync,
  rmSync,
  statfsSync,
  statSync,
  unlinkSync,
} from 'node:fs';
import { dirname } from 'node:path';
import type { Logger } from 'pino';
import type { Config } from '../config/config.js';
import { ConfigError } from '../config/config-error.js';
import { formatSize } from '../config/quantity.js';
import type { NativeAddon, NativeStore } from '../native/addon.js';

/** linux/magic.h. */
const TMPFS_MAGIC = 0x01021994;
/** Of st_blocks, whatever the file system's. */
const STAT_BLOCK_BYTES = 512;

export interface ArenaFile {
  path: string;
  fd: number;
  /** A new one's name until it is whole. Absent: one that was there. */
  unfinishedPath?: string;
}

/** Throws a ConfigError when the file cannot hold `memoryBytes` for this user alone; makes none then. */
export function openArena(path: string, memoryBytes: number): ArenaFile {
  const refuse = (allowed: string) => ConfigError.notAllowed('store.arena', path, allowed);
  let fd: number | undefined;
  try {
    const { type, bsize, blocks, bavail } = statfsSync(dirname(path));
    if (type !== TMPFS_MAGIC) throw refuse('a file on a tmpfs, such as /dev/shm');
    const blocksHeld = statSync(path, { throwIfNoEntry: false })?.blocks;
    const roomBytes = bavail * bsize + (blocksHeld ?? 0) * STAT_BLOCK_BYTES;
    // Of a tmpfs without a limit there are 0 blocks.
    if (blocks > 0 && roomBytes < memoryBytes) {
      const sizes = `${formatSize(memoryBytes)}; there is room for ${formatSize(roomBytes)}`;
      throw refuse(`a file on a tmpfs with room for store.memory (${sizes})`);
    }
    const flags = constants.O_RDWR | constants.O_NOFOLLOW;
    if (blocksHeld === undefined) {
      const unfinishedPath = `${path}.${randomUUID()}`;
      fd = openSync(unfinishedPath, flags | constants.O_CREAT | constants.O_EXCL, 0o600);
      return { path, fd, unfinishedPath };
    }
    fd = openSync(path, flags);
    const stat = fstatSync(fd);
    if (!stat.isFile() || stat.uid !== process.geteuid?.() || (stat.mode & 0o077) !== 0)
      throw refuse("a file of this user's that nobody else may read (mode 0600)");
    return { path, fd };
  } catch (error) {
    if (fd !== undefined) closeSync(fd);
    if (error instanceof ConfigError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    throw refuse(`a file on a tmpfs that this user may make and write to (${code ?? message})`);
  }
}

/** Lets go of it; of a new one that was not finished nothing is left. */
export function closeArena({ fd, unfinishedPath }: ArenaFile): void {
  closeSync(fd);
  if (unfinishedPath !== undefined) rmSync(unfinishedPath, { force: true });
}

/** A new store, or the one a service before left in the file. */
export function openStore(config: Config, native: NativeAddon, arena?: ArenaFile): NativeStore {
  let store: NativeStore;
  try {
    store = new native.Store({
      capacityBytes: config.memoryBytes,
      backgroundSettling: config.settling,
      ...(arena && { arenaFd: arena.fd, recover: arena.unfinishedPath === undefined }),
    });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'TMEMD_CONFIG') throw new ConfigError(`store.memory: ${message}`);
    if (code !== 'TMEMD_ARENA') throw error;
    throw new ConfigError(`store.arena: ${JSON.stringify(arena?.path)}: ${message}`);
  }
  const { capacityBytes } = store.counters();
  if (capacityBytes === config.memoryBytes) return store;
  store.close();
  const allowed = `${capacityBytes} bytes (${formatSize(capacityBytes)}), as in ${arena?.path}`;
  throw ConfigError.notAllowed('store.memory', formatSize(config.memoryBytes), allowed);
}

/** Gives a new arena its name, unless another service was faster. */
function finish(path: string, unfinishedPath: string): void {
  try {
    linkSync(unfinishedPath, path);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw ConfigError.notAllowed(
      'store.arena',
      path,
      `a file that this service may make (${code ?? message})`,
    );
  }
  unlinkSync(unfinishedPath);
}

/** Once every configured guest has been added and nothing else can fail: nobody's pages may be left over. */
export async function takeOver(
  store: NativeStore,
  { path, unfinishedPath }: ArenaFile,
  guests: number,
  log: Logger,
): Promise<void> {
  if (unfinishedPath !== undefined) {
    finish(path, unfinishedPath);
    return log.info({ path }, 'arena made');
  }
  const left = store.unclaimedGuests();
  const stranger = left.find(({ pages }) => pages > 0);
  if (stranger) {
    const { name, pages } = stranger;
    throw new ConfigError(
      `store.arena: ${JSON.stringify(path)} holds ${pages} pages of a guest "${name}"; allowed: with [guest.${name}] configured`,
    );
  }
  for (const { guest } of left) await store.removeGuest(guest);
  const { logicalBytes } = store.counters();
  log.info({ path, guests, logicalBytes }, 'arena taken over');
}
