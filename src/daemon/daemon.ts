/**
 * The service: one store, its guests, the admin API and the metrics endpoint.
 *
 * Starting opens all of it or nothing: when one part cannot be had, what was
 * opened is closed again before the error is thrown. Stopping drains: nothing
 * new is accepted, requests in progress are completed, then everything goes.
 */
import type { Logger } from 'pino';
import { adminApi } from '../admin/api.js';
import type { Config, GuestConfig } from '../config/config.js';
import { ConfigError } from '../config/config-error.js';
import { formatSize } from '../config/quantity.js';
import { type FrontEndSource, Guest } from '../guest/guest.js';
import { Exposition } from '../metrics/exposition.js';
import { listenMetrics } from '../metrics/server.js';
import type { NativeAddon } from '../native/addon.js';
import { closeArena, openArena, openStore, takeOver } from './arena.js';
import { checkDescriptorLimit } from './descriptor-limit.js';
import { BoundPath, clearStaleSocket } from './socket-path.js';

export interface Daemon {
  /** Where metrics are served, the port as bound. */
  metricsUrl: string | undefined;
  /** Resolves when no front end can come any more: every guest was a lone connection that has ended. */
  nothingLeft: Promise<void>;
  /** Idempotent. */
  stop(): Promise<void>;
}

/** Rejects with a ConfigError when what the configuration asks for cannot be had. */
export async function startDaemon(config: Config, native: NativeAddon, log: Logger): Promise<Daemon> {
  const closers: (() => unknown)[] = [];
  let stopping: Promise<void> | undefined;
  const stop = () => {
    stopping ??= closeAll(closers);
    return stopping;
  };
  try {
    checkDescriptorLimit(config.guests, log);
    const minimumBytes = native.minimumCapacityBytes();
    if (config.memoryBytes < minimumBytes) {
      const allowed = `at least ${formatSize(minimumBytes)}`;
      throw ConfigError.notAllowed('store.memory', formatSize(config.memoryBytes), allowed);
    }
    const arena =
      config.arenaPath === undefined ? undefined : openArena(config.arenaPath, config.memoryBytes);
    if (arena) closers.push(() => closeArena(arena));
    const store = openStore(config, native, arena);
    closers.push(() => store.close());
    const guests = new Map(config.guests.map((guest) => [guest.name, new Guest(guest, native, store, log)]));
    const sources: FrontEndSource[] = [];
    for (const guest of config.guests) sources.push(await openSource(guest, native, closers));
    closers.push(() => Promise.all([...guests.values()].map((guest) => guest.close())));

    const exposition = new Exposition(store, guests, log);
    if (config.adminSocket !== undefined) {
      const api = adminApi(store, guests, exposition);
      await clearStaleSocket('admin.socket', config.adminSocket);
      closers.push(() => api.close());
      await api.listenUnix(config.adminSocket);
    }
    const metrics = config.metrics && (await listenMetrics(exposition, config.metrics));
    if (metrics) closers.push(() => metrics.close());

    if (arena) await takeOver(store, arena, guests.size, log);
    const served = [...guests.values()].map((guest, index) => {
      const source = sources[index];
      return source && guest.serve(source);
    });
    return { metricsUrl: metrics?.url, nothingLeft: Promise.all(served).then(() => undefined), stop };
  } catch (error) {
    await stop();
    throw (error as NodeJS.ErrnoException).code === 'TMEMD_CONFIG'
      ? new ConfigError((error as Error).message)
      : error;
  }
}

/** What was opened last closes first. */
async function closeAll(closers: (() => unknown)[]): Promise<void> {
  for (const close of closers.reverse()) await close();
}

async function openSource(
  { name, endpoint }: GuestConfig,
  native: NativeAddon,
  closers: (() => unknown)[],
): Promise<FrontEndSource> {
  if ('fd' in endpoint) {
    const source = refused('--fd', endpoint.fd, 'an inherited UNIX stream socket', () =>
      native.adoptSocket(endpoint.fd),
    );
    closers.push(() => ('listener' in source ? source.listener : source.connection).close());
    return source;
  }
  const key = `guest.${name}.socket`;
  await clearStaleSocket(key, endpoint.path);
  const allowed = 'a path in a folder that exists and that this user may write to';
  const listener = refused(key, endpoint.path, allowed, () =>
    native.listenUnix(endpoint.path, endpoint.mode),
  );
  const bound = new BoundPath(endpoint.path);
  closers.push(() => {
    listener.close();
    bound.unlink();
  });
  return { listener };
}

/** Runs `open`; a failure becomes the refusal of the setting that asked for it. */
function refused<T>(key: string, value: unknown, allowed: string, open: () => T): T {
  try {
    return open();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw ConfigError.notAllowed(key, value, `${allowed} (${code ?? message})`);
  }
}
