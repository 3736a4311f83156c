/** What a run started, stopped in reverse order whatever way the run ends. */
export class Closers {
  private readonly closers: (() => Promise<void> | void)[] = [];

  add(close: () => Promise<void> | void): void {
    this.closers.push(close);
  }

  /** Runs each closer once; one that fails does not keep the others from running. */
  async closeAll(): Promise<void> {
    for (let close = this.closers.pop(); close; close = this.closers.pop()) {
      try {
        await close();
      } catch {
        // What is being thrown away may already be gone.
      }
    }
  }
}
