/** UNIX socket paths: making room for a new socket, and clearing up after ourselves. */
import { lstatSync, unlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { ConfigError } from '../config/config-error.js';

/**
 * Removes a socket that nobody listens on any more, left by a process that was
 * killed. Anything else at the path is a ConfigError under `key`.
 */
export async function clearStaleSocket(key: string, path: string): Promise<void> {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (!stat) return;
  if (!stat.isSocket()) throw ConfigError.notAllowed(key, path, 'a path where nothing but a socket is');
  if (await isListenedOn(path)) {
    throw ConfigError.notAllowed(key, path, 'a path on which no other process listens');
  }
  unlinkSync(path);
}

function isListenedOn(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    // Anything but a refusal means somebody may be there: better to complain than to unlink.
    probe.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'ECONNREFUSED'));
  });
}

/** A bound socket's identity, so that only it is unlinked later and not a successor's. */
export class BoundPath {
  readonly #path: string;
  readonly #inode: number | undefined;

  constructor(path: string) {
    this.#path = path;
    this.#inode = lstatSync(path, { throwIfNoEntry: false })?.ino;
  }

  /** Idempotent. */
  unlink(): void {
    const inode = lstatSync(this.#path, { throwIfNoEntry: false })?.ino;
    if (inode !== undefined && inode === this.#inode) unlinkSync(this.#path);
  }
}
