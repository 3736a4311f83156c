/** A command ran and did not succeed: one line on stderr, exit status 1. */
export class CommandFailure extends Error {
  override readonly name = 'CommandFailure';
}
