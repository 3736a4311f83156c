/** The two ways in which a front end is wrong. */

/** It broke the vhost-user protocol, or what it asked for is impossible and it wanted no answer: the connection ends. */
export class ProtocolError extends Error {}

/** What it asked for cannot be had; with REPLY_ACK it is told so and may go on. The native device's have the same code. */
export class RefusedError extends Error {
  readonly code = 'TMEMD_FRONT_END';
}
