/** `tmemd ctl`: what an administrator asks of a running service, as a table or as JSON. */
import { join } from 'node:path';
import { Command } from 'commander';
import { AdminClient, AdminError } from '../admin/client.js';
import { check } from '../config/check.js';
import { ConfigError } from '../config/config-error.js';
import { runtimeFolder } from '../config/runtime-folder.js';
import { duration } from '../config/schema.js';
import { CommandFailure } from './command-failure.js';
import { drainGuest } from './drain.js';
import { parseTuning } from './tuning.js';
import { guestDetails, guestTable, poolTable, storeDetails } from './views.js';

interface Globals {
  adminSocket: string;
  json?: true;
}

export function ctlCommand(): Command {
  const defaultSocket = join(runtimeFolder(process.env, process.getuid?.() ?? 0), 'admin.sock');
  const ctl = new Command('ctl')
    .description('inspect and steer a running service')
    .option('--admin-socket <path>', "the service's admin socket", defaultSocket)
    .option('--json', 'print JSON');

  const guest = ctl.command('guest').description('guests and their settings');
  run(guest.command('list').description('every guest, a line each'), (client) => client.guests(), guestTable);
  run(
    guest.command('show <name>').description('one guest with every counter'),
    (client, name) => client.guest(name),
    guestDetails,
  );
  run(
    guest
      .command('set <name> <key=value...>')
      .description('change weight, cap, limit, target or frozen: weight=200 limit=512MiB target=none'),
    (client, name, ...settings) => client.tune(name, parseTuning(settings)),
    guestDetails,
  );
  run(
    guest.command('freeze <name>').description('refuse puts beyond the reserve'),
    (client, name) => client.tune(name, { frozen: true }),
    guestDetails,
  );
  run(
    guest.command('thaw <name>').description('take puts again'),
    (client, name) => client.tune(name, { frozen: false }),
    guestDetails,
  );
  const drop = guest.command('drop <name>').description('drop its pools; refused while it runs');
  drop.option('--force', 'even while it runs: what it swapped out is lost');
  run(drop, (client, name) => client.drop(name, drop.opts<{ force?: true }>().force ?? false), guestDetails);

  const disconnect = guest
    .command('disconnect <name>')
    .description('close its connections; refused while it runs');
  disconnect.option('--force', 'even while it runs: it loses its device');
  run(
    disconnect,
    (client, name) => client.disconnect(name, disconnect.opts<{ force?: true }>().force ?? false),
    guestDetails,
  );

  const drain = guest
    .command('drain <name>')
    .description('ask it to take its persistent pages back, and wait');
  drain.option('--timeout <duration>', 'how long to wait', '60s');
  run(
    drain,
    (client, name) => {
      const { timeout } = drain.opts<{ timeout: string }>();
      return drainGuest(client, name, check(duration, timeout, '--timeout'));
    },
    guestDetails,
  );

  const pool = ctl.command('pool').description('pools');
  run(
    pool.command('list [guest]').description('every pool with every counter'),
    (client, name) => client.pools(name || undefined),
    poolTable,
  );
  run(ctl.command('store').description('capacity, use, savings'), (client) => client.store(), storeDetails);
  run(
    ctl.command('check').description("check the store's invariants; exit status 1 if they do not hold"),
    async (client) => {
      const result = await client.check();
      if (!result.ok) process.exitCode = 1;
      return result;
    },
    ({ ok, problem }) => (ok ? 'invariants hold' : problem),
  );
  return ctl;
}

/** Makes `command` ask one question of the service and print the answer. */
function run<T>(
  command: Command,
  ask: (client: AdminClient, name: string, ...rest: string[]) => Promise<T>,
  view: (answer: T) => string,
): void {
  command.allowExcessArguments(false).action(async () => {
    const { adminSocket, json } = command.optsWithGlobals<Globals>();
    const [name = '', ...rest] = command.args;
    const client = new AdminClient(adminSocket);
    try {
      const answer = await ask(client, name, ...rest);
      process.stdout.write(`${json ? JSON.stringify(answer, null, 2) : view(answer)}\n`);
    } catch (error) {
      throw explain(error, adminSocket);
    } finally {
      await client.close();
    }
  });
}

function explain(error: unknown, adminSocket: string): unknown {
  if (error instanceof AdminError) {
    return error.status === 400 || error.status === 404
      ? new ConfigError(error.message)
      : new CommandFailure(error.message);
  }
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT' || code === 'ECONNREFUSED' || code === 'EACCES' || code === 'ENOTSOCK') {
    return ConfigError.notAllowed('--admin-socket', adminSocket, `a socket a service listens on (${code})`);
  }
  return error;
}
