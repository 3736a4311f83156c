/**
 * Sizes and durations as people write them.
 *
 * Sizes are powers of 1024, as in QEMU: `4096`, `512K`, `512KiB`, `1G`, `1.5GiB`.
 * `KB`, `MB`... mean 1000 to some and 1024 to others and are refused.
 * Durations: `250ms`, `30s`, `5m`, `2h`, `1d`; a bare `0` too.
 */

export const PAGE_BYTES = 4096;

export const durationSyntax = 'a duration like 0, 250ms, 30s, 5m, 2h or 1d';

const sizeExponents: Record<string, number> = { '': 0, K: 1, M: 2, G: 3, T: 4 };
const durationUnitsMs: Record<string, number> = { ms: 1, s: 1e3, m: 60e3, h: 3600e3, d: 86400e3 };

/** Counted exactly up to there. */
const MAX_SIZE_TEBIBYTES = Math.floor(Number.MAX_SAFE_INTEGER / 1024 ** 4);

export const sizeSyntax = `a size like 4096, 512MiB or 1G, at most ${MAX_SIZE_TEBIBYTES}T`;

/** Bytes, or undefined when the text is not a size, or one above the maximum. */
export function parseSizeBytes(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*(?:([KMGT])(?:iB)?|B)?$/i.exec(text.trim());
  if (!match) return undefined;
  const sizeBytes = Number(match[1]) * 1024 ** (sizeExponents[match[2]?.toUpperCase() ?? ''] ?? 0);
  return Number.isInteger(sizeBytes) && sizeBytes <= MAX_SIZE_TEBIBYTES * 1024 ** 4 ? sizeBytes : undefined;
}

/** Milliseconds, or undefined when the text is not a duration. */
export function parseDurationMs(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)$/.exec(text.trim());
  if (!match) return text.trim() === '0' ? 0 : undefined;
  return Math.round(Number(match[1]) * (durationUnitsMs[match[2] ?? ''] ?? 0));
}

/** Bytes for a person: `512MiB`, `1.50GiB`. */
export function formatSize(sizeBytes: number): string {
  let value = sizeBytes;
  let unit = 'B';
  for (const next of ['KiB', 'MiB', 'GiB', 'TiB']) {
    if (value < 1024) break;
    value /= 1024;
    unit = next;
  }
  return `${Number.isInteger(value) ? value : value.toFixed(2)}${unit}`;
}
