/**
 * Settings that cannot be honoured. The message is one line that names the
 * key or flag, the value, and what is allowed; the process exits with status 2.
 */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';

  constructor(message: string) {
    super(message.replace(/\s*\n\s*/g, ' '));
  }

  /** `key: value is not allowed; allowed: ...`, the form every refusal has. */
  static notAllowed(key: string, value: unknown, allowed: string): ConfigError {
    return new ConfigError(`${key}: ${quote(value)} is not allowed; allowed: ${allowed}`);
  }
}

/** A value as the user wrote it, short enough for one line. */
function quote(value: unknown): string {
  const text = typeof value === 'bigint' ? String(value) : (JSON.stringify(value) ?? String(value));
  return text.length > 120 ? `${text.slice(0, 117)}...` : text;
}
