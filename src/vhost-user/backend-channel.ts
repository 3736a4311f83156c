/**
 * The back end's own channel to the front end (SET_BACKEND_REQ_FD), used for
 * one thing: saying that the config space changed. ConfigAnnouncer says when.
 *
 * With REPLY_ACK negotiated the front end answers, and then has read it; else
 * it counts as answered when the kernel has taken it.
 */
import type { FdConnection } from '../native/addon.js';
import { encodeConfigChange, readConfigChangeAnswer } from './message.js';

export class BackendChannel {
  readonly #connection: FdConnection;
  readonly #answers: () => boolean;
  readonly #closeFd: (fd: number) => void;
  readonly #onFailure: (error: unknown) => void;
  #busy = false;
  #closed = false;

  /**
   * @param answers REPLY_ACK is negotiated by now
   * @param closeFd takes what comes with an answer, where nothing belongs
   */
  constructor(
    connection: FdConnection,
    answers: () => boolean,
    closeFd: (fd: number) => void,
    onFailure: (error: unknown) => void,
  ) {
    this.#connection = connection;
    this.#answers = answers;
    this.#closeFd = closeFd;
    this.#onFailure = onFailure;
  }

  /** A message is on its way; after a failure, for ever. */
  get busy(): boolean {
    return this.#busy;
  }

  /** Only when not busy. `answered` is called when the next may be sent. */
  announce(answered: () => void): void {
    this.#busy = true;
    void this.#announce(answered);
  }

  async #announce(answered: () => void): Promise<void> {
    const answers = this.#answers();
    try {
      await this.#connection.write(encodeConfigChange(answers));
      if (answers) await readConfigChangeAnswer(this.#connection, this.#closeFd);
    } catch (error) {
      if (!this.#closed) this.#onFailure(error);
      return;
    }
    this.#busy = false;
    answered();
  }

  /** Resolves when the socket is closed, as FdConnection.close(). Idempotent. */
  close(): Promise<void> {
    this.#closed = true;
    return this.#connection.close();
  }
}
