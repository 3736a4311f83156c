/** `tmemd ctl guest set`'s KEY=VALUE words, in the syntax of the configuration file. */
import { z } from 'zod';
import { check } from '../config/check.js';
import { ConfigError } from '../config/config-error.js';
import { guestTuning, targetPages } from '../config/schema.js';
import type { Tuning } from '../guest/guest.js';

const settings = z
  .strictObject({
    weight: guestTuning.weight,
    cap: guestTuning.cap,
    limit: guestTuning.limit,
    target: targetPages,
    frozen: guestTuning.frozen,
  })
  .partial();

export function parseTuning(words: readonly string[]): Tuning {
  const raw: Record<string, unknown> = {};
  for (const word of words) {
    const [, key, value] = /^([^=]+)=(.*)$/.exec(word) ?? [];
    if (key === undefined || value === undefined) throw ConfigError.notAllowed('set', word, 'KEY=VALUE');
    raw[key] = toToml(value);
  }
  const { weight, cap, limit, target, frozen } = check(settings, raw, '');
  return {
    ...(weight !== undefined && { weight }),
    ...(cap !== undefined && { capPages: cap }),
    ...(limit !== undefined && { limitPages: limit }),
    ...(target !== undefined && { targetPages: target }),
    ...(frozen !== undefined && { frozen }),
  };
}

/** Numbers and booleans as themselves, anything else as text. */
function toToml(value: string): unknown {
  if (value === 'true' || value === 'false') return value === 'true';
  return /^\d{1,15}$/.test(value) ? Number(value) : value;
}
