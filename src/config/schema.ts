/**
 * The configuration file's shape: every key, its default, and what is allowed.
 *
 *   [store]
 *   memory = "1GiB"          # hard capacity: data, slack and metadata
 *   settling = true          # compact and recompress cold pages in the background
 *   arena = "/dev/shm/tmemd.arena"     # a file on a tmpfs: pages outlive the service; default: they do not
 *
 *   [admin]
 *   socket = "/run/tmemd/admin.sock"   # default: admin.sock beside the first guest's socket
 *
 *   [metrics]
 *   listen = "127.0.0.1:9464"          # off unless given; a bare port means loopback
 *
 *   [log]
 *   level = "info"
 *
 *   [guest.web]
 *   socket = "/run/tmemd/web.sock"     # required
 *   socket_mode = "0600"
 *   weight = 100             # share of ephemeral memory under eviction, 1..1000000
 *   cap = "none"             # most memory's worth of pages held, both kinds
 *   reserve = "0"            # persistent pages that cannot be refused
 *   limit = "none"           # most persistent pages
 *   group = "tenant-a"       # trust group to deduplicate with; default: the guest alone
 *   frozen = false           # refuse puts beyond the reserve
 *   queues = 4               # request queues, 1..255; blk: 64, of which QEMU takes one for each processor of its guest
 *   numa_node = 0            # default: anywhere
 *   max_pools = 64           # 1..65535; not with blk
 *   orphan_timeout = "0"     # when pools are dropped after their connection: "0" at once, or "never" as blk does
 *   silence_timeout = "10s"  # when a connection that says nothing is closed, or "never": a VMM may connect, then be
 *                            # busy for long with its guest's memory (prealloc=on)
 *   max_pages_per_request = 64         # 1..256; not with blk
 *   memory_map_max = "96GiB" # of a front end's memory table; default: four times the host's memory, see memory-map.ts
 *   personality = "tmem"     # what the guest is shown: tmem, or blk: a disk (vhost-user-blk)
 *   size = "1GiB"            # blk only, required: of the disk; its reserve is as large
 *   block_size = 4096        # blk only: its logical block size, 512 or 4096 bytes
 *   serial = "web"           # blk only: its serial number, up to 20 characters; default: the guest's name, cut off there
 *
 * Sizes of guests (cap, reserve, limit, size) are what the pages would take
 * uncompressed and come out of here as page counts.
 *
 * Each schema's error message is what is allowed; `check` in check.ts puts the
 * key and the value before it.
 */
import { isIP } from 'node:net';
import { z } from 'zod';
import { durationSyntax, PAGE_BYTES, parseDurationMs, parseSizeBytes, sizeSyntax } from './quantity.js';

/** sun_path holds 108 bytes with the terminating zero. */
const MAX_SOCKET_PATH_BYTES = 107;
/** Timers count in 31 bits of milliseconds: 24 days. */
const MAX_DURATION_MS = 7 * 86400e3;

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

/** A transform whose `parse` returns undefined for what is not allowed. */
function text<T>(allowed: string, parse: (text: string) => T | undefined) {
  return z.union([z.string(), z.number()], allowed).transform((value, context): T => {
    const parsed = parse(String(value));
    if (parsed !== undefined) return parsed;
    context.addIssue({ code: 'custom', message: allowed, input: value });
    return z.NEVER;
  });
}

export function integer(minimum: number, maximum: number) {
  const allowed = `an integer from ${minimum} to ${maximum}`;
  return z.int(allowed).min(minimum, allowed).max(maximum, allowed);
}

const pagesSyntax = `${sizeSyntax}, a multiple of 4096 bytes`;

function parsePages(value: string): number | undefined {
  const pageCount = (parseSizeBytes(value) ?? Number.NaN) / PAGE_BYTES;
  return Number.isInteger(pageCount) ? pageCount : undefined;
}

const pages = text(pagesSyntax, parsePages);

const diskPages = text(`${pagesSyntax}, above 0`, (value) => parsePages(value) || undefined);

/** Whole pages; none is 0, and 0 is refused because it could be taken for "nothing allowed". */
const pagesOrNone = text(`${pagesSyntax}, above 0, or none`, (value) =>
  value === 'none' ? 0 : parsePages(value) || undefined,
);

/** Where a guest is asked to come down to; null: no wish. */
export const targetPages = text(`${pagesSyntax}, or none`, (value) =>
  value === 'none' ? null : parsePages(value),
);

export const memorySize = text(`${sizeSyntax}, above 0`, (value) => parseSizeBytes(value) || undefined);

export const socketPath = z
  .string(`a path of at most ${MAX_SOCKET_PATH_BYTES} bytes`)
  .refine(
    (path) => path.length > 0 && !path.includes('\0') && Buffer.byteLength(path) <= MAX_SOCKET_PATH_BYTES,
    `a path of 1 to ${MAX_SOCKET_PATH_BYTES} bytes`,
  );

export const filePath = z
  .string('a path')
  .refine((path) => path.length > 0 && !path.includes('\0'), 'a path of at least 1 byte');

export const logLevel = z.enum(logLevels, `one of ${logLevels.join(', ')}`);

export interface ListenAddress {
  host: string;
  port: number;
}

export const listenAddress = text(
  'HOST:PORT, [IPV6]:PORT or PORT (on loopback), port 0 to 65535',
  parseListen,
);

function parseListen(value: string): ListenAddress | undefined {
  const match = /^(?:(?:\[([^\]]+)\]|([A-Za-z0-9.-]+)):)?(\d{1,5})$/.exec(value);
  if (!match || (match[1] && isIP(match[1]) !== 6)) return undefined;
  const port = Number(match[3]);
  return port <= 65535 ? { host: match[1] ?? match[2] ?? '127.0.0.1', port } : undefined;
}

const socketMode = text('an octal mode in quotes, like "0600" or "0660"', (value) =>
  /^0?[0-7]{3}$/.test(value) ? Number.parseInt(value, 8) : undefined,
);

export const duration = text(`${durationSyntax}, at most 7d`, (value) => {
  const durationMs = parseDurationMs(value);
  return durationMs !== undefined && durationMs <= MAX_DURATION_MS ? durationMs : undefined;
});

/** Infinity: never. */
const durationOrNever = text(`${durationSyntax}, at most 7d, or never`, (value) => {
  if (value === 'never') return Number.POSITIVE_INFINITY;
  const durationMs = parseDurationMs(value);
  return durationMs !== undefined && durationMs <= MAX_DURATION_MS ? durationMs : undefined;
});

export const flag = z.boolean('true or false');
const groupName = z.string('a name of 1 to 64 characters').min(1, 'a name of 1 to 64 characters').max(64);

/** The protocol numbers rings with 8 bits, and one may be the control queue. */
const MAX_REQUEST_QUEUES = 255;

/** VIRTIO_BLK_ID_BYTES. */
export const MAX_SERIAL_CHARACTERS = 20;
const serialSyntax = `1 to ${MAX_SERIAL_CHARACTERS} printable ASCII characters, no spaces`;

/** What a guest may be called: it becomes a metric label, a path segment and a table cell. */
export const guestName = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/,
    '1 to 63 letters, digits, "_", "." and "-", a letter or digit first',
  );

/** A guest's settings that may also be changed while the service runs. */
export const guestTuning = {
  weight: integer(1, 1_000_000),
  cap: pagesOrNone,
  limit: pagesOrNone,
  frozen: flag,
};

export const guestSection = z.strictObject(
  {
    socket: socketPath,
    socket_mode: socketMode.default(0o600),
    weight: guestTuning.weight.default(100),
    cap: guestTuning.cap.default(0),
    reserve: pages.optional(),
    limit: guestTuning.limit.default(0),
    group: groupName.optional(),
    frozen: guestTuning.frozen.default(false),
    queues: integer(1, MAX_REQUEST_QUEUES).optional(),
    numa_node: integer(0, 1023).optional(),
    max_pools: integer(1, 65535).optional(),
    orphan_timeout: durationOrNever.optional(),
    silence_timeout: durationOrNever.default(10_000),
    max_pages_per_request: integer(1, 256).optional(),
    memory_map_max: memorySize.optional(),
    personality: z.enum(['tmem', 'blk'], 'one of tmem, blk').default('tmem'),
    size: diskPages.optional(),
    block_size: z.literal([512, 4096], '512 or 4096').optional(),
    serial: z
      .string(serialSyntax)
      .regex(/^[!-~]{1,20}$/, serialSyntax)
      .optional(),
  },
  'a table: [guest.NAME]',
);

export const configFile = z.strictObject({
  store: z
    .strictObject(
      { memory: memorySize.default(2 ** 30), settling: flag.default(true), arena: filePath.optional() },
      'a table',
    )
    .prefault({}),
  admin: z.strictObject({ socket: socketPath.optional() }, 'a table').prefault({}),
  metrics: z.strictObject({ listen: listenAddress.optional() }, 'a table').prefault({}),
  log: z.strictObject({ level: logLevel.default('info') }, 'a table').prefault({}),
  guest: z.record(guestName, guestSection, 'tables named [guest.NAME]').prefault({}),
});
