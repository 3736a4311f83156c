/** The text of a configuration file, however it is given: a file, or a pipe as of `--config <(...)`. */
import { closeSync, openSync, readSync } from 'node:fs';
import { ConfigError } from './config-error.js';
import { formatSize } from './quantity.js';

/** Thousands of guests fit; a device or an endless pipe is told soon. */
const MAX_SOURCE_BYTES = 2 ** 20;

/** Throws a ConfigError that names `--config`; reads at most MAX_SOURCE_BYTES and one more. */
export function readSource(path: string): string {
  let fd: number | undefined;
  try {
    fd = openSync(path, 'r');
    const source = Buffer.alloc(MAX_SOURCE_BYTES + 1);
    let lengthBytes = 0;
    while (lengthBytes < source.length) {
      const readBytes = readSync(fd, source, lengthBytes, source.length - lengthBytes, null);
      if (readBytes === 0) return source.toString('utf8', 0, lengthBytes);
      lengthBytes += readBytes;
    }
    throw refused(path);
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    const code = (error as NodeJS.ErrnoException).code ?? 'unreadable';
    throw new ConfigError(`--config: ${JSON.stringify(path)} cannot be read (${code}); allowed: a TOML file`);
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

function refused(path: string): ConfigError {
  return ConfigError.notAllowed(
    '--config',
    path,
    `a TOML file or a pipe of at most ${formatSize(MAX_SOURCE_BYTES)}`,
  );
}
