/**
 * `tmemd serve`: the service in the foreground, logging JSON lines to stderr.
 *
 * Signals: SIGTERM and SIGINT drain and exit 0; a second one exits at once.
 * SIGHUP is ignored: settings change through the admin API.
 */
import { dirname } from 'node:path';
import { Command } from 'commander';
import type { Config } from '../config/config.js';
import { type Flags, loadConfig } from '../config/load.js';
import { claimRuntimeFolder, runtimeFolder } from '../config/runtime-folder.js';
import { logLevels } from '../config/schema.js';

/** Draining takes as long as the requests in progress; past this something is stuck. */
const DRAIN_DEADLINE_MS = 1800;

export function serveCommand(): Command {
  return new Command('serve')
    .description('serve guests over vhost-user sockets')
    .option('--config <file>', 'TOML configuration file; flags add to it and win over it')
    .option('--memory <size>', 'hard capacity of the store (default: 1GiB)')
    .option('--arena <file>', 'keep pages in this file on a tmpfs, for the service that comes after')
    .option('--socket-path <path>', 'serve one guest here, named by the base name; repeatable', collect)
    .option('--disk <path=size>', 'serve one guest a disk here (vhost-user-blk); repeatable', collect)
    .option(
      '--fd <number[=size]>',
      'serve one guest on this inherited socket, with =SIZE a disk; repeatable',
      collect,
    )
    .option('--admin-socket <path>', "admin API socket (default: admin.sock beside the first guest's)")
    .option('--metrics <host:port>', 'Prometheus endpoint (default: off; on the admin socket always)')
    .option('--log-level <level>', `one of ${logLevels.join(', ')} (default: info)`)
    .option('--print-capabilities', 'print what this vhost-user back end can do as JSON and exit')
    .allowExcessArguments(false)
    .action(serve);
}

function collect(value: string, before: string[] = []): string[] {
  return [...before, value];
}

async function serve(flags: Flags & { printCapabilities?: true }): Promise<void> {
  if (flags.printCapabilities) {
    process.stdout.write(`${JSON.stringify({ type: 'tmem', features: [] })}\n`);
    return;
  }
  const uid = process.getuid?.() ?? 0;
  const folder = runtimeFolder(process.env, uid);
  const config = loadConfig(flags, folder);
  if (socketPaths(config).some((path) => dirname(path) === folder)) claimRuntimeFolder(folder, uid);
  // Sockets get their modes one by one; until then they are the owner's alone.
  process.umask(0o077);

  // Loaded only now: bad input and `tmemd ctl` need not wait for the service's libraries.
  const { native } = await import('../native/addon.js');
  const { startDaemon } = await import('../daemon/daemon.js');
  const { openLog } = await import('../daemon/log.js');
  const { logger: log, written } = openLog(config.logLevel);
  const daemon = await startDaemon(config, native, log);
  let stopping = false;
  const stop = async (reason: string) => {
    stopping = true;
    setTimeout(() => {
      log.fatal({ deadlineMs: DRAIN_DEADLINE_MS }, 'draining is stuck');
      process.exit(1);
    }, DRAIN_DEADLINE_MS).unref();
    log.info({ reason }, 'stopping');
    await daemon.stop();
    log.info('stopped');
    await written();
    process.exit(0);
  };
  process.on('SIGHUP', () => log.info('SIGHUP ignored: settings change through the admin API'));
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => {
      for (const again of ['SIGTERM', 'SIGINT'] as const) {
        process.removeAllListeners(again);
        process.once(again, () => process.exit(1));
      }
      void stop(signal);
    });
  }
  log.info(
    {
      guests: config.guests.map(({ name, endpoint }) => ({
        name,
        socket: 'path' in endpoint ? endpoint.path : `fd ${endpoint.fd}`,
      })),
      memoryBytes: config.memoryBytes,
      adminSocket: config.adminSocket,
      metrics: daemon.metricsUrl,
      pid: process.pid,
    },
    'ready',
  );
  await daemon.nothingLeft;
  if (!stopping) await stop('nothing left to serve');
}

function socketPaths({ guests, adminSocket }: Config): string[] {
  const guestPaths = guests.flatMap(({ endpoint }) => ('path' in endpoint ? [endpoint.path] : []));
  return adminSocket === undefined ? guestPaths : [...guestPaths, adminSocket];
}
