/** Structured logs: one JSON object a line on stderr, level by name, time in ISO 8601. */
import { destination, type Logger, pino, stdTimeFunctions } from 'pino';
import type { LogLevel } from '../config/schema.js';

/** A reader of stderr that stalls must not stall us: past this much, lines are dropped. */
const MAX_BACKLOG_BYTES = 1 << 20;

export interface Log {
  logger: Logger;
  /**
   * Resolves once what was logged is written, or nobody reads it any more. Exiting before that writes
   * the rest synchronously, which never ends when the reader is gone.
   */
  written(): Promise<void>;
}

export function openLog(level: LogLevel): Log {
  const stderr = destination({ dest: 2, sync: false, maxLength: MAX_BACKLOG_BYTES });
  let pending = false;
  const write = stderr.write.bind(stderr);
  stderr.write = (line) => {
    pending = true;
    return write(line);
  };
  for (const event of ['drain', 'error'] as const) {
    stderr.on(event, () => {
      pending = false;
    });
  }
  const written = () =>
    new Promise<void>((resolve) => {
      if (!pending) return resolve();
      for (const event of ['drain', 'error'] as const) stderr.once(event, () => resolve());
    });
  process.on('exit', () => {
    try {
      stderr.flushSync();
    } catch {
      // Nobody reads any more.
    }
  });
  const options = {
    level,
    base: null,
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  return { logger: pino(options, stderr), written };
}
