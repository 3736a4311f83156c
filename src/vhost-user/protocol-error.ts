/** The front end broke the protocol. Its connection is closed; nobody else notices. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError';
}
