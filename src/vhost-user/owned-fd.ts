/**
 * A file descriptor with one owner. Whoever holds an OwnedFd either closes it
 * or takes the number out and passes ownership on; both at most once, so that
 * no path closes a descriptor twice (the number may be somebody else's by then).
 */
export class OwnedFd {
  #fd: number | undefined;
  readonly #closeFd: (fd: number) => void;

  constructor(fd: number, closeFd: (fd: number) => void) {
    this.#fd = fd;
    this.#closeFd = closeFd;
  }

  /** The number, to look at. */
  get number(): number {
    if (this.#fd === undefined) throw new Error('descriptor taken or closed before');
    return this.#fd;
  }

  /** The number, which the caller owns from now on. */
  take(): number {
    const fd = this.#fd;
    if (fd === undefined) throw new Error('descriptor taken or closed before');
    this.#fd = undefined;
    return fd;
  }

  /** Idempotent, and nothing at all after take(). */
  close(): void {
    const fd = this.#fd;
    this.#fd = undefined;
    if (fd !== undefined) this.#closeFd(fd);
  }
}
