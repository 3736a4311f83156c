/** The admin API from the other side: undici over the UNIX socket. */
import { Client } from 'undici';
import type { GuestStatus, Tuning } from '../guest/guest.js';
import type { StoreCounters } from '../native/counters.js';
import type { CheckResult, PoolStatus } from './api.js';

/** A stuck service must not hang the command; checking a large store takes a while. */
const ANSWER_DEADLINE_MS = 120e3;

/** The API refused; the message is its one line. */
export class AdminError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export class AdminClient {
  readonly #client: Client;

  constructor(socketPath: string) {
    this.#client = new Client('http://tmemd', { socketPath, headersTimeout: ANSWER_DEADLINE_MS });
  }

  store(): Promise<StoreCounters> {
    return this.#request('GET', '/v1/store');
  }

  check(): Promise<CheckResult> {
    return this.#request('POST', '/v1/check');
  }

  guests(): Promise<GuestStatus[]> {
    return this.#request('GET', '/v1/guests');
  }

  guest(name: string): Promise<GuestStatus> {
    return this.#request('GET', `/v1/guests/${encodeURIComponent(name)}`);
  }

  tune(name: string, tuning: Tuning): Promise<GuestStatus> {
    return this.#request('PATCH', `/v1/guests/${encodeURIComponent(name)}`, tuning);
  }

  drop(name: string, force: boolean): Promise<GuestStatus> {
    return this.#request('POST', `/v1/guests/${encodeURIComponent(name)}/drop`, { force });
  }

  disconnect(name: string, force: boolean): Promise<GuestStatus> {
    return this.#request('POST', `/v1/guests/${encodeURIComponent(name)}/disconnect`, { force });
  }

  pools(guest?: string): Promise<PoolStatus[]> {
    return this.#request(
      'GET',
      guest === undefined ? '/v1/pools' : `/v1/pools?guest=${encodeURIComponent(guest)}`,
    );
  }

  async #request<T>(method: 'GET' | 'POST' | 'PATCH', path: string, body?: unknown): Promise<T> {
    const response = await this.#client.request({
      method,
      path,
      ...(body !== undefined && {
        body: JSON.stringify(body),
        headers: { 'content-type': 'application/json' },
      }),
    });
    const answer = (await response.body.json()) as T & { error?: string };
    if (response.statusCode >= 400)
      throw new AdminError(response.statusCode, answer.error ?? 'no reason given');
    return answer;
  }

  close(): Promise<void> {
    return this.#client.close();
  }
}
