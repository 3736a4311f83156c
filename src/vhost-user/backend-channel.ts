/**
 * The back end's own channel to the front end (SET_BACKEND_REQ_FD), used for
 * one thing: saying that the config space changed.
 *
 * A front end that does not read must not make us queue without end: while one
 * message waits to be written, further changes fold into one more.
 */
import type { FdConnection } from '../native/addon.js';
import { encodeConfigChange } from './message.js';

export class BackendChannel {
  readonly #connection: FdConnection;
  readonly #onFailure: (error: unknown) => void;
  #writing = false;
  #again = false;

  constructor(connection: FdConnection, onFailure: (error: unknown) => void) {
    this.#connection = connection;
    this.#onFailure = onFailure;
  }

  configChanged(): void {
    if (this.#writing) {
      this.#again = true;
      return;
    }
    this.#writing = true;
    void this.#write();
  }

  async #write(): Promise<void> {
    try {
      do {
        this.#again = false;
        await this.#connection.write(encodeConfigChange());
      } while (this.#again);
    } catch (error) {
      this.#onFailure(error);
    }
    this.#writing = false;
  }

  close(): void {
    this.#connection.close();
  }
}
