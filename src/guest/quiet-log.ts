/**
 * A guest's log, which nothing that a guest or a front end does over and over can flood. Of lines with the same
 * message the first LINES_A_WINDOW in a window of WINDOW_MS are written; the others are counted, and when the window
 * ends one line tells the last of them and how many they were. Messages are few and fixed; what varies is in a
 * line's fields. Each guest has its own, so that none takes another's lines.
 */
import type { Logger } from 'pino';

const WINDOW_MS = 10_000;
const LINES_A_WINDOW = 5;

type Level = 'debug' | 'info' | 'warn' | 'error';

interface Kind {
  written: number;
  /** Not written so far. */
  withheld: number;
  level: Level;
  /** Of the last that was withheld. */
  fields: object;
  timer: NodeJS.Timeout;
}

export class QuietLog {
  readonly #log: Logger;
  readonly #kinds = new Map<string, Kind>();

  constructor(log: Logger) {
    this.#log = log;
  }

  debug = (fields: object, message: string): void => this.#write('debug', fields, message, 1);
  /** @param times how often it happened since it was last said */
  info = (fields: object, message: string, times = 1): void => this.#write('info', fields, message, times);
  warn = (fields: object, message: string): void => this.#write('warn', fields, message, 1);
  error = (fields: object, message: string): void => this.#write('error', fields, message, 1);

  #write(level: Level, fields: object, message: string, times: number): void {
    if (!this.#log.isLevelEnabled(level)) return;
    const kind = this.#kinds.get(message) ?? this.#begin(level, message);
    const written = kind.written < LINES_A_WINDOW ? 1 : 0;
    kind.written += written;
    if (written > 0) this.#log[level](fields, message);
    if (times === written) return;
    kind.withheld += times - written;
    kind.level = level;
    kind.fields = fields;
  }

  #begin(level: Level, message: string): Kind {
    const timer = setTimeout(() => this.#endWindow(message), WINDOW_MS).unref();
    const kind = { written: 0, withheld: 0, level, fields: {}, timer };
    this.#kinds.set(message, kind);
    return kind;
  }

  #endWindow(message: string): void {
    const kind = this.#kinds.get(message);
    if (!kind) return;
    clearTimeout(kind.timer);
    this.#kinds.delete(message);
    if (kind.withheld > 0) {
      this.#log[kind.level]({ ...kind.fields, repeated: kind.withheld, withinMs: WINDOW_MS }, message);
    }
  }

  /** Tells what it has withheld. */
  close(): void {
    for (const message of [...this.#kinds.keys()]) this.#endWindow(message);
  }
}
