/** Where sockets go unless told otherwise, and making sure nobody else controls that folder. */
import { lstatSync, mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigError } from './config-error.js';

/**
 * `$XDG_RUNTIME_DIR/tmemd`; without it `/run/tmemd` for root, and
 * `tmemd-UID` in the folder for temporary files for anybody else.
 */
export function runtimeFolder(environment: NodeJS.ProcessEnv, uid: number): string {
  if (environment.XDG_RUNTIME_DIR) return join(environment.XDG_RUNTIME_DIR, 'tmemd');
  return uid === 0 ? '/run/tmemd' : join(tmpdir(), `tmemd-${uid}`);
}

/** Creates the folder, private to this user; one that another user owns or may write to is refused. */
export function claimRuntimeFolder(folder: string, uid: number): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const stat = lstatSync(folder);
  if (!stat.isDirectory() || stat.uid !== uid || (stat.mode & 0o022) !== 0) {
    throw ConfigError.notAllowed(
      'runtime folder',
      folder,
      'a folder owned by this user that no other may write to',
    );
  }
}
