/**
 * Messages on the socket: a header of three little-endian words (request,
 * flags, payload size), the payload, and descriptors beside the bytes.
 */
import type { FdConnection, ReceivedBytes } from '../native/addon.js';
import { OwnedFd } from './owned-fd.js';
import { ProtocolError } from './protocol-error.js';
import { type RequestName, type RequestRule, requestName, requestRules } from './requests.js';

const HEADER_BYTES = 12;
const VERSION = 0x1;
const VERSION_MASK = 0x3;
const REPLY = 0x4;
const NEED_REPLY = 0x8;

export interface Message {
  name: RequestName;
  needReply: boolean;
  payload: Buffer;
  /** Closed by the reader of the message unless taken. */
  fds: OwnedFd[];
}

/**
 * The next message, its number, size and descriptor count checked against the
 * table. Rejects with a ProtocolError, or as `FdConnection.read` does; every
 * descriptor that came is closed by then, or discarded by `closeFd`.
 */
export async function readMessage(connection: FdConnection, closeFd: (fd: number) => void): Promise<Message> {
  const fds: OwnedFd[] = [];
  const receive = async (lengthBytes: number): Promise<Buffer> => {
    const received: ReceivedBytes = await connection.read(lengthBytes);
    for (const fd of received.fds) fds.push(new OwnedFd(fd, closeFd));
    if (received.fdsTruncated) throw new ProtocolError('more descriptors than any message carries');
    return received.bytes;
  };
  try {
    const { name, rule, needReply, payloadBytes } = decodeHeader(await receive(HEADER_BYTES));
    const payload = payloadBytes > 0 ? await receive(payloadBytes).catch(cutShort) : Buffer.alloc(0);
    if (fds.length < rule.fds.least || fds.length > rule.fds.most) {
      throw new ProtocolError(`${name} with ${fds.length} descriptors, allowed: ${describe(rule.fds)}`);
    }
    return { name, needReply, payload, fds };
  } catch (error) {
    for (const fd of fds) fd.close();
    throw error;
  }
}

/** An end of stream is clean between messages only. */
function cutShort(error: NodeJS.ErrnoException): never {
  throw error.code === 'TMEMD_CLOSED' ? new ProtocolError('message cut short') : error;
}

function decodeHeader(header: Buffer) {
  const number = header.readUInt32LE(0);
  const flags = header.readUInt32LE(4);
  const payloadBytes = header.readUInt32LE(8);
  const name = requestName(number);
  if (name === undefined) throw new ProtocolError(`request ${number}, which was not offered`);
  if ((flags & VERSION_MASK) !== VERSION || (flags & ~(VERSION_MASK | NEED_REPLY)) !== 0) {
    throw new ProtocolError(`${name} with header flags 0x${flags.toString(16)}`);
  }
  const rule: RequestRule = requestRules[name];
  const { least, most, step } = rule.payload;
  if (payloadBytes < least || payloadBytes > most || (payloadBytes - least) % step !== 0) {
    throw new ProtocolError(
      `${name} with ${payloadBytes} bytes of payload, allowed: ${describe(rule.payload)}`,
    );
  }
  return { name, rule, needReply: (flags & NEED_REPLY) !== 0, payloadBytes };
}

function describe({ least, most }: { least: number; most: number }): string {
  return least === most ? `${least}` : `${least} to ${most}`;
}

export function encodeReply(name: RequestName, payload: Buffer): Buffer {
  return encodeMessage(requestRules[name].number, VERSION | REPLY, payload);
}

const BACKEND_CONFIG_CHANGE_MSG = 2;

const ANSWER_BYTES = HEADER_BYTES + 8;

/** The back end's own message: the config space changed. */
export function encodeConfigChange(needReply: boolean): Buffer {
  return encodeMessage(BACKEND_CONFIG_CHANGE_MSG, VERSION | (needReply ? NEED_REPLY : 0), Buffer.alloc(0));
}

/** Resolves when the front end has read it. What it makes of it is its affair; bytes that are no answer are a ProtocolError. */
export async function readConfigChangeAnswer(
  connection: FdConnection,
  closeFd: (fd: number) => void,
): Promise<void> {
  const { bytes, fds } = await connection.read(ANSWER_BYTES);
  for (const fd of fds) closeFd(fd);
  const isAnswer =
    bytes.readUInt32LE(0) === BACKEND_CONFIG_CHANGE_MSG &&
    (bytes.readUInt32LE(4) & (VERSION_MASK | REPLY)) === (VERSION | REPLY) &&
    bytes.readUInt32LE(8) === ANSWER_BYTES - HEADER_BYTES;
  if (!isAnswer || fds.length > 0) throw new ProtocolError('no answer to BACKEND_CONFIG_CHANGE_MSG');
}

function encodeMessage(number: number, flags: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32LE(number, 0);
  header.writeUInt32LE(flags, 4);
  header.writeUInt32LE(payload.length, 8);
  return Buffer.concat([header, payload]);
}
