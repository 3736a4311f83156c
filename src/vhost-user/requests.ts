/**
 * Every request a front end may send: the protocol in one table.
 *
 * Numbers, payloads and rules are those of QEMU's docs/interop/vhost-user
 * ("Front-end message types"). A request that is not here was never negotiated
 * and ends the connection.
 *
 * `order` says what must have happened before:
 *   any       nothing: negotiation, which QEMU does before SET_OWNER
 *   owned     SET_OWNER
 *   stopped   SET_OWNER, and the ring named is not started
 *   described SET_OWNER, and the ring named has a size and addresses
 */

/** Feature bits of the transport. */
export const Feature = {
  INDIRECT_DESC: 1n << 28n,
  EVENT_IDX: 1n << 29n,
  PROTOCOL_FEATURES: 1n << 30n,
  VERSION_1: 1n << 32n,
} as const;

/** Of the rings; a device adds its own. */
export const OFFERED_FEATURES =
  Feature.VERSION_1 | Feature.PROTOCOL_FEATURES | Feature.INDIRECT_DESC | Feature.EVENT_IDX;

/** Feature bits of the protocol itself. */
export const ProtocolFeature = {
  MQ: 1n << 0n,
  REPLY_ACK: 1n << 3n,
  BACKEND_REQ: 1n << 5n,
  CONFIG: 1n << 9n,
  RESET_DEVICE: 1n << 13n,
  CONFIGURE_MEM_SLOTS: 1n << 15n,
  STATUS: 1n << 16n,
} as const;

export const OFFERED_PROTOCOL_FEATURES = Object.values(ProtocolFeature).reduce((all, bit) => all | bit, 0n);

/**
 * Regions of guest memory a front end may have at a time, as many as the kernel's vhost (`max_mem_regions`) and other
 * back ends take, for a guest with many DIMMs; SET_MEM_TABLE carries at most 8.
 */
export const MAX_MEMORY_REGIONS = 509;
export const MAX_TABLE_REGIONS = 8;

/** VHOST_USER_MAX_CONFIG_SIZE. */
export const MAX_CONFIG_BYTES = 256;

export type Order = 'any' | 'owned' | 'stopped' | 'described';

export interface RequestRule {
  number: number;
  /** Bytes of payload: exactly `least`, or `least` to `most` in steps of `step`. */
  payload: { least: number; most: number; step: number };
  /** Descriptors that may come with it; a codec narrows this by what the payload says. */
  fds: { least: number; most: number };
  /** Answers with a message of its own; the others are acknowledged when asked (REPLY_ACK). */
  replies: boolean;
  order: Order;
  /** The protocol feature that must have been negotiated. */
  needs?: bigint;
}

const NONE = 0;
const U64 = 8;
const VRING_STATE = 8;
const VRING_ADDRESS = 40;
const REGION = 32;
const TABLE_HEADER = 8;
const CONFIG_HEADER = 12;

function rule(
  number: number,
  payload: number | RequestRule['payload'],
  order: Order,
  more: { fds?: [least: number, most: number]; replies?: true; needs?: bigint } = {},
): RequestRule {
  const [least, most] = more.fds ?? [0, 0];
  return {
    number,
    payload: typeof payload === 'number' ? { least: payload, most: payload, step: 1 } : payload,
    fds: { least, most },
    replies: more.replies ?? false,
    order,
    ...(more.needs !== undefined && { needs: more.needs }),
  };
}

const tablePayload = { least: TABLE_HEADER, most: TABLE_HEADER + MAX_TABLE_REGIONS * REGION, step: REGION };
const configPayload = { least: CONFIG_HEADER, most: CONFIG_HEADER + MAX_CONFIG_BYTES, step: 1 };
const { MQ, BACKEND_REQ, CONFIG, RESET_DEVICE, CONFIGURE_MEM_SLOTS, STATUS } = ProtocolFeature;

export const requestRules = {
  GET_FEATURES: rule(1, NONE, 'any', { replies: true }),
  SET_FEATURES: rule(2, U64, 'owned'),
  SET_OWNER: rule(3, NONE, 'any'),
  RESET_OWNER: rule(4, NONE, 'any'),
  SET_MEM_TABLE: rule(5, tablePayload, 'owned', { fds: [0, MAX_TABLE_REGIONS] }),
  SET_VRING_NUM: rule(8, VRING_STATE, 'stopped'),
  SET_VRING_ADDR: rule(9, VRING_ADDRESS, 'stopped'),
  SET_VRING_BASE: rule(10, VRING_STATE, 'stopped'),
  GET_VRING_BASE: rule(11, VRING_STATE, 'owned', { replies: true }),
  SET_VRING_KICK: rule(12, U64, 'described', { fds: [0, 1] }),
  SET_VRING_CALL: rule(13, U64, 'owned', { fds: [0, 1] }),
  SET_VRING_ERR: rule(14, U64, 'owned', { fds: [0, 1] }),
  GET_PROTOCOL_FEATURES: rule(15, NONE, 'any', { replies: true }),
  SET_PROTOCOL_FEATURES: rule(16, U64, 'any'),
  GET_QUEUE_NUM: rule(17, NONE, 'any', { replies: true, needs: MQ }),
  SET_VRING_ENABLE: rule(18, VRING_STATE, 'owned'),
  SET_BACKEND_REQ_FD: rule(21, NONE, 'any', { fds: [1, 1], needs: BACKEND_REQ }),
  GET_CONFIG: rule(24, configPayload, 'any', { replies: true, needs: CONFIG }),
  SET_CONFIG: rule(25, configPayload, 'owned', { needs: CONFIG }),
  RESET_DEVICE: rule(34, NONE, 'owned', { needs: RESET_DEVICE }),
  GET_MAX_MEM_SLOTS: rule(36, NONE, 'any', { replies: true, needs: CONFIGURE_MEM_SLOTS }),
  ADD_MEM_REG: rule(37, TABLE_HEADER + REGION, 'owned', { fds: [1, 1], needs: CONFIGURE_MEM_SLOTS }),
  // Some front ends send the region's descriptor along; it is closed unused.
  REM_MEM_REG: rule(38, TABLE_HEADER + REGION, 'owned', { fds: [0, 1], needs: CONFIGURE_MEM_SLOTS }),
  SET_STATUS: rule(39, U64, 'owned', { needs: STATUS }),
  GET_STATUS: rule(40, NONE, 'owned', { replies: true, needs: STATUS }),
} as const satisfies Record<string, RequestRule>;

export type RequestName = keyof typeof requestRules;

export const requestNames = Object.keys(requestRules) as RequestName[];

const namesByNumber = new Map(requestNames.map((name) => [requestRules[name].number, name]));

export function requestName(number: number): RequestName | undefined {
  return namesByNumber.get(number);
}
