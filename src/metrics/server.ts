/** GET /metrics: on the admin socket always, on a TCP address when one is configured. */
import type { AddressInfo } from 'node:net';
import fastify, { type FastifyInstance } from 'fastify';
import { ConfigError } from '../config/config-error.js';
import type { ListenAddress } from '../config/schema.js';
import type { Exposition } from './exposition.js';

export function serveMetrics(app: FastifyInstance, exposition: Exposition): void {
  app.get('/metrics', async (_request, reply) => {
    const body = await exposition.text();
    return reply.type(exposition.contentType).send(body);
  });
}

/** Serves nothing but metrics. Rejects with a ConfigError when the address cannot be had. */
export async function listenMetrics(exposition: Exposition, address: ListenAddress) {
  const app = fastify({ forceCloseConnections: true });
  serveMetrics(app, exposition);
  try {
    await app.listen(address);
  } catch (error) {
    const allowed = `an address of this machine and a free port (${(error as NodeJS.ErrnoException).code})`;
    throw ConfigError.notAllowed('metrics.listen', `${address.host}:${address.port}`, allowed);
  }
  const bound = app.server.address() as AddressInfo;
  const host = bound.family === 'IPv6' ? `[${bound.address}]` : bound.address;
  return { url: `http://${host}:${bound.port}/metrics`, close: () => app.close() };
}
