/** Structured logs: one JSON object a line on stderr, level by name, time in ISO 8601. */
import { destination, type Logger, pino, stdTimeFunctions } from 'pino';
import type { LogLevel } from '../config/schema.js';

/** A reader of stderr that stalls must not stall us: past this much, lines are dropped. */
const MAX_BACKLOG_BYTES = 1 << 20;

export function openLog(level: LogLevel): Logger {
  const stderr = destination({ dest: 2, sync: false, maxLength: MAX_BACKLOG_BYTES });
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
  return pino(options, stderr);
}
