/**
 * virtio_tmem_config, the 64 bytes a driver reads, encoded from a guest's
 * settings. The layout is that of kernel-shim/include/uapi/linux/virtio_tmem.h;
 * a test compares these constants and the encoding with the header's.
 */

/** The header's constants, without their VIRTIO_TMEM_. */
export const wire = {
  MAGIC: 0x4d454d54,
  VERSION: 1,
  PAGE_SHIFT: 12,
  MAX_PAGES_PER_REQUEST: 256,
  CAP_PERSISTENT: 1 << 0,
  CAP_EPHEMERAL: 1 << 1,
  CAP_EXCLUSIVE_GET: 1 << 3,
  CAP_TARGET: 1 << 4,
} as const;

/** VIRTIO_TMEM_NO_TARGET: the host has no wish. */
const NO_TARGET = 2n ** 64n - 1n;

export const CONFIG_SPACE_BYTES = 64;

export interface ConfigSpace {
  requestQueueCount: number;
  maxPagesPerRequest: number;
  maxPools: number;
  reservePages: number;
  /** 0: none set. */
  limitPages: number;
  /** Pages the guest is asked to come down to. */
  targetPages: number | undefined;
}

export function encodeConfigSpace(config: ConfigSpace): Buffer {
  const space = Buffer.alloc(CONFIG_SPACE_BYTES);
  space.writeUInt32LE(wire.MAGIC, 0);
  space.writeUInt16LE(wire.VERSION, 4);
  space.writeUInt16LE(config.requestQueueCount, 6);
  space.writeUInt32LE(wire.CAP_PERSISTENT | wire.CAP_EPHEMERAL | wire.CAP_EXCLUSIVE_GET | wire.CAP_TARGET, 8);
  space.writeUInt32LE(1 << wire.PAGE_SHIFT, 12);
  space.writeUInt16LE(config.maxPagesPerRequest, 16);
  space.writeUInt16LE(config.maxPools, 18);
  space.writeBigUInt64LE(BigInt(config.reservePages), 24);
  space.writeBigUInt64LE(BigInt(config.limitPages), 32);
  space.writeBigUInt64LE(encodeTarget(config.targetPages), 40);
  return space;
}

/** A target as the wire has it. */
export function encodeTarget(targetPages: number | undefined): bigint {
  return targetPages === undefined ? NO_TARGET : BigInt(targetPages);
}
