/**
 * Descriptors that a front end sent and nobody wants. They are closed elsewhere; who waits for closed() before it
 * takes more of the same front end has at most one such closing under way, however long it takes.
 */
export class Discards {
  readonly #closeFds: (fds: number[]) => Promise<void>;
  #fds: number[] = [];

  constructor(closeFds: (fds: number[]) => Promise<void>) {
    this.#closeFds = closeFds;
  }

  readonly add = (fd: number): void => {
    this.#fds.push(fd);
  };

  /** Resolves when all that were added are closed. */
  async closed(): Promise<void> {
    const fds = this.#fds.splice(0);
    if (fds.length > 0) await this.#closeFds(fds);
  }
}
