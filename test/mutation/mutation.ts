/** A check of the code, a way to break it as a careless change would, and the tests that should notice. */
export interface Mutation {
  /** What the check sees to. */
  check: string;
  file: string;
  /** The code that is broken, which stands in the file exactly once. */
  from: string;
  to: string;
  /**
   * Quickest first. A test file by its path; a native program of the build by its name, with its arguments, which
   * spaces separate.
   */
  tests: readonly string[];
  /** Why nothing need notice: what else keeps the harm away. */
  explained?: string;
}

/** The checks of one file; those without tests of their own have these. */
export function inFile(
  file: string,
  tests: readonly string[],
  checks: (Omit<Mutation, 'file' | 'tests'> & { tests?: readonly string[] })[],
): Mutation[] {
  return checks.map((check) => ({ file, tests, ...check }));
}

/** The text with the check broken. Throws unless the code stands there exactly once, so that the list cannot rot. */
export function broken(text: string, { check, file, from, to }: Mutation): string {
  const times = text.split(from).length - 1;
  if (times !== 1)
    throw new Error(`${file}: of "${check}" this stands there ${times} times, not once: ${from}`);
  return text.replace(from, () => to);
}
