/**
 * From a TOML file and command-line flags to a `Config`, once, at the edge.
 *
 * Flags win over the file; guests named by flags are added to the file's. With
 * neither there is one guest, `default`, on a socket in the runtime folder.
 */
import { basename, dirname, extname, join, resolve } from 'node:path';
import { parse, TomlError } from 'smol-toml';
import type { z } from 'zod';
import { check } from './check.js';
import { type Config, checkLimits, type DiskConfig, type GuestConfig } from './config.js';
import { ConfigError } from './config-error.js';
import { type GuestToShare, shareAddressSpace } from './memory-map.js';
import { formatSize, PAGE_BYTES } from './quantity.js';
import { readSource } from './read-source.js';
import {
  configFile,
  filePath,
  guestName,
  guestSection,
  listenAddress,
  logLevel,
  MAX_SERIAL_CHARACTERS,
  memorySize,
  socketPath,
} from './schema.js';

/** `tmemd serve`'s flags as typed by the user. */
export interface Flags {
  config?: string;
  memory?: string;
  arena?: string;
  socketPath?: string[];
  disk?: string[];
  fd?: string[];
  adminSocket?: string;
  metrics?: string;
  logLevel?: string;
}

export function loadConfig(flags: Flags, runtimeFolder: string): Config {
  const raw = flags.config === undefined ? {} : readToml(flags.config);
  const file = check(configFile, raw, flags.config === undefined ? '' : `${flags.config}: `);
  const named = [
    ...Object.entries(file.guest).map(([name, section]) => toGuest(name, section)),
    ...(flags.socketPath ?? []).map(guestFromPath),
    ...(flags.disk ?? []).map(guestFromDisk),
    ...(flags.fd ?? []).map(guestFromFd),
  ];
  if (named.length === 0) named.push(guestFromPath(join(runtimeFolder, 'default.sock')));
  const guests = shareAddressSpace(named);
  guests.forEach(checkLimits);

  const memory = fromFlag('--memory', memorySize, flags.memory);
  const arena = fromFlag('--arena', filePath, flags.arena) ?? file.store.arena;
  const admin = fromFlag('--admin-socket', socketPath, flags.adminSocket) ?? file.admin.socket;
  const adminSocket = admin === undefined ? besideFirstGuest(guests) : resolve(admin);
  const metrics = fromFlag('--metrics', listenAddress, flags.metrics) ?? file.metrics.listen;
  checkUnique(guests, adminSocket);
  return {
    memoryBytes: memory ?? file.store.memory,
    settling: file.store.settling,
    ...(arena !== undefined && { arenaPath: resolve(arena) }),
    ...(adminSocket !== undefined && { adminSocket }),
    ...(metrics && { metrics }),
    logLevel: fromFlag('--log-level', logLevel, flags.logLevel) ?? file.log.level,
    guests,
  };
}

function readToml(path: string): unknown {
  const source = readSource(path);
  try {
    const raw = parse(source);
    refuseProto(raw, `${path}: `);
    return raw;
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const problem = error.message.split('\n', 1)[0]?.replace(/^Invalid TOML document: /, '');
    throw new ConfigError(`${path}:${error.line}:${error.column}: not valid TOML: ${problem}`);
  }
}

/** A key of this name is passed over by who checks the rest, and a guest would be missing without a word. */
function refuseProto(at: unknown, prefix: string, keys: string[] = []): void {
  if (typeof at !== 'object' || at === null) return;
  for (const [key, value] of Object.entries(at)) {
    const path = [...keys, key];
    if (key === '__proto__') throw new ConfigError(`${prefix}${path.join('.')}: not allowed as a name`);
    refuseProto(value, prefix, path);
  }
}

function fromFlag<T extends z.ZodType>(name: string, schema: T, value: string | undefined) {
  return value === undefined ? undefined : check(schema, value, name);
}

type GuestSection = z.output<typeof guestSection>;

/** Settings of one personality are refused with the other. */
function diskOf(name: string, section: GuestSection): DiskConfig | undefined {
  const foreign =
    section.personality === 'blk'
      ? (['max_pools', 'max_pages_per_request'] as const)
      : (['size', 'block_size', 'serial'] as const);
  const allowed = `only with personality = "${section.personality === 'blk' ? 'tmem' : 'blk'}"`;
  for (const key of foreign) {
    if (section[key] !== undefined) throw new ConfigError(`guest.${name}.${key}: allowed: ${allowed}`);
  }
  if (section.personality === 'tmem') return undefined;
  if (section.size === undefined) {
    throw new ConfigError(`guest.${name}.size: missing; allowed: the size of the disk, such as 1GiB`);
  }
  if (section.reserve !== undefined && section.reserve !== section.size) {
    const size = formatSize(section.size * PAGE_BYTES);
    const reserve = formatSize(section.reserve * PAGE_BYTES);
    throw ConfigError.notAllowed(
      `guest.${name}.reserve`,
      reserve,
      `none, or the disk's size (${size}): a disk cannot refuse a write`,
    );
  }
  const serial = section.serial ?? name.slice(0, MAX_SERIAL_CHARACTERS);
  return { pageCount: section.size, blockBytes: section.block_size ?? PAGE_BYTES, serial };
}

function toGuest(name: string, section: GuestSection): GuestToShare {
  const disk = diskOf(name, section);
  return {
    name,
    ...(disk && { disk }),
    endpoint: { path: resolve(section.socket), mode: section.socket_mode },
    weight: section.weight,
    capPages: section.cap,
    reservePages: disk?.pageCount ?? section.reserve ?? 0,
    limitPages: section.limit,
    ...(section.group !== undefined && { group: section.group }),
    frozen: section.frozen,
    // QEMU asks a disk for a queue for each processor of its guest and gives up when there are fewer.
    requestQueueCount: section.queues ?? (disk ? 64 : 4),
    ...(section.numa_node !== undefined && { numaNode: section.numa_node }),
    maxPools: section.max_pools ?? 64,
    orphanTimeoutMs: section.orphan_timeout ?? (disk ? Number.POSITIVE_INFINITY : 0),
    silenceTimeoutMs: section.silence_timeout,
    maxPagesPerRequest: section.max_pages_per_request ?? 64,
    memoryMapBytesMax: section.memory_map_max,
  };
}

/** A guest of the defaults, named by its socket's base name without the extension. */
function guestFromPath(path: string): GuestToShare {
  const socket = check(socketPath, path, '--socket-path');
  return toGuest(nameFromPath('--socket-path', socket), guestSection.parse({ socket }));
}

function nameFromPath(flag: string, path: string): string {
  const name = basename(path, extname(path));
  if (guestName.safeParse(name).success) return name;
  const allowed = 'a path whose base name is a guest name: letters, digits, "_", "." and "-"';
  throw ConfigError.notAllowed(flag, path, allowed);
}

function guestFromDisk(text: string): GuestToShare {
  const [, path, size] = /^(.*)=([^=]*)$/.exec(text) ?? [];
  if (path === undefined) throw ConfigError.notAllowed('--disk', text, 'PATH=SIZE');
  const section = { socket: check(socketPath, path, '--disk'), personality: 'blk', size };
  return toGuest(nameFromPath('--disk', path), check(guestSection, section, '--disk: '));
}

function guestFromFd(text: string): GuestToShare {
  const [, number, size] = /^(\d{1,6})(?:=(.*))?$/.exec(text) ?? [];
  const fd = Number(number ?? -1);
  const allowed = 'the number of an inherited socket, 3 or above, for a disk with =SIZE behind it';
  if (fd < 3) throw ConfigError.notAllowed('--fd', text, allowed);
  const section = { socket: 'inherited', ...(size !== undefined && { personality: 'blk', size }) };
  return { ...toGuest(`fd${fd}`, check(guestSection, section, '--fd: ')), endpoint: { fd } };
}

function besideFirstGuest(guests: GuestConfig[]): string | undefined {
  for (const { endpoint } of guests)
    if ('path' in endpoint) return join(dirname(endpoint.path), 'admin.sock');
  return undefined;
}

function checkUnique(guests: GuestConfig[], adminSocket: string | undefined): void {
  const names = new Set<string>();
  const serials = new Map<string, string>();
  const endpoints = new Map<string | number, string>();
  if (adminSocket !== undefined) endpoints.set(adminSocket, 'the admin API');
  for (const { name, endpoint, disk } of guests) {
    if (disk) {
      const other = serials.get(disk.serial);
      const allowed = `a serial of its own (this is that of ${other}): set serial in [guest.${name}]`;
      if (other !== undefined) throw ConfigError.notAllowed(`guest.${name}.serial`, disk.serial, allowed);
      serials.set(disk.serial, name);
    }
    if (names.has(name)) throw ConfigError.notAllowed('guest', name, 'each guest name once');
    names.add(name);
    const where = 'path' in endpoint ? endpoint.path : endpoint.fd;
    const other = endpoints.get(where);
    if (other !== undefined) {
      throw ConfigError.notAllowed(
        `guest.${name}.socket`,
        where,
        `a socket of its own (this is that of ${other})`,
      );
    }
    endpoints.set(where, `guest ${name}`);
  }
}
