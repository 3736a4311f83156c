/**
 * The admin API: JSON over HTTP on a UNIX socket only its owner may open.
 *
 *   GET   /v1/store                  capacity, use by kind, savings, evictions
 *   POST  /v1/check                  {"ok", "problem"}: the store's invariants
 *   GET   /v1/guests                 every guest with every counter
 *   GET   /v1/guests/NAME
 *   PATCH /v1/guests/NAME            weight, capPages, limitPages, targetPages, frozen
 *   POST  /v1/guests/NAME/drop       {"force"?}: drops its pools
 *   POST  /v1/guests/NAME/disconnect {"force"?}: closes its connections
 *   GET   /v1/pools[?guest=NAME]     every pool with every counter
 *   GET   /metrics                   Prometheus
 *
 * Page counts are in pages of 4096 bytes; 0 means none set for a cap or a
 * limit, null no wish for a target. Errors: {"error": one line}, with 400 for
 * bad input, 404 for an unknown guest, 409 for a guest that is running.
 */
import { chmodSync } from 'node:fs';
import fastify, { type FastifyInstance } from 'fastify';
import { z } from 'zod';
import { check } from '../config/check.js';
import { ConfigError } from '../config/config-error.js';
import { flag, guestTuning, integer } from '../config/schema.js';
import { type Guest, GuestRunningError, type GuestStatus } from '../guest/guest.js';
import type { Exposition } from '../metrics/exposition.js';
import { serveMetrics } from '../metrics/server.js';
import type { NativeStore } from '../native/addon.js';
import type { PoolCounters } from '../native/counters.js';

export type PoolStatus = PoolCounters & { guest: string };

export interface CheckResult {
  ok: boolean;
  problem: string;
}

export interface AdminApi {
  app: FastifyInstance;
  /** Rejects with a ConfigError when the path cannot be bound. */
  listenUnix(path: string): Promise<void>;
  /** Idempotent; open connections are cut. */
  close(): Promise<void>;
}

class UnknownGuestError extends Error {}

type RequestError = Error & { statusCode?: number; code?: string };

function statusOf(error: RequestError): number {
  if (error instanceof UnknownGuestError) return 404;
  if (error instanceof GuestRunningError) return 409;
  if (error instanceof ConfigError || error.code === 'TMEMD_CONFIG') return 400;
  return error.statusCode ?? 500;
}

const pages = integer(0, 2 ** 40);

const tuningBody = z.strictObject(
  {
    weight: guestTuning.weight.optional(),
    capPages: pages.optional(),
    limitPages: pages.optional(),
    targetPages: pages.nullable().optional(),
    frozen: guestTuning.frozen.optional(),
  },
  'an object',
);
const forceBody = z.strictObject({ force: flag.default(false) }, 'an object').prefault({});

export function adminApi(
  store: NativeStore,
  guests: ReadonlyMap<string, Guest>,
  exposition: Exposition,
): AdminApi {
  const app = fastify({ forceCloseConnections: true });
  const find = (name: string): Guest => {
    const guest = guests.get(name);
    if (guest) return guest;
    throw new UnknownGuestError(
      `guest: ${JSON.stringify(name)} is unknown; known: ${[...guests.keys()].join(', ')}`,
    );
  };

  app.setErrorHandler((error: RequestError, _request, reply) => {
    return reply.status(statusOf(error)).send({ error: error.message });
  });
  app.setNotFoundHandler((request, reply) =>
    reply.status(404).send({ error: `${request.method} ${request.url} is not part of this API` }),
  );

  app.get('/v1/store', () => store.counters());
  app.post('/v1/check', async (): Promise<CheckResult> => {
    const problem = await store.checkInvariants();
    return { ok: problem === '', problem };
  });
  app.get('/v1/guests', (): GuestStatus[] => [...guests.values()].map((guest) => guest.status()));
  app.get<{ Params: { name: string } }>('/v1/guests/:name', ({ params }) => find(params.name).status());
  app.patch<{ Params: { name: string } }>('/v1/guests/:name', ({ params, body }) => {
    const guest = find(params.name);
    guest.tune(check(tuningBody, body ?? {}, ''));
    return guest.status();
  });
  app.post<{ Params: { name: string } }>('/v1/guests/:name/drop', async ({ params, body }) => {
    const guest = find(params.name);
    await guest.drop(check(forceBody, body ?? {}, '').force);
    return guest.status();
  });
  app.post<{ Params: { name: string } }>('/v1/guests/:name/disconnect', async ({ params, body }) => {
    const guest = find(params.name);
    await guest.disconnect(check(forceBody, body ?? {}, '').force);
    return guest.status();
  });
  app.get<{ Querystring: { guest?: string } }>('/v1/pools', ({ query }): PoolStatus[] => {
    const chosen = query.guest === undefined ? [...guests.values()] : [find(query.guest)];
    return chosen.flatMap((guest) => guest.pools().map((pool) => ({ guest: guest.name, ...pool })));
  });
  serveMetrics(app, exposition);

  return {
    app,
    async listenUnix(path) {
      try {
        await app.listen({ path });
      } catch (error) {
        const allowed = 'a path in a folder that exists and that this user may write to';
        throw ConfigError.notAllowed(
          'admin.socket',
          path,
          `${allowed} (${(error as NodeJS.ErrnoException).code})`,
        );
      }
      chmodSync(path, 0o600);
    },
    close: async () => {
      await app.close();
    },
  };
}
