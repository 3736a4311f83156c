/**
 * Payloads, decoded and encoded: little endian, as QEMU's docs/interop/vhost-user
 * draws them under "Message payload". The sizes were checked against the table
 * in requests.ts; what is checked here is what the fields say.
 */
import type { MemoryRegion } from '../native/addon.js';
import { ProtocolError } from './protocol-error.js';

export interface VringState {
  index: number;
  value: number;
}

export function decodeU64(payload: Buffer): bigint {
  return payload.readBigUInt64LE(0);
}

export function encodeU64(value: bigint): Buffer {
  const payload = Buffer.alloc(8);
  payload.writeBigUInt64LE(value);
  return payload;
}

/** SET_VRING_NUM, SET_VRING_BASE, GET_VRING_BASE, SET_VRING_ENABLE. */
export function decodeVringState(payload: Buffer): VringState {
  return { index: payload.readUInt32LE(0), value: payload.readUInt32LE(4) };
}

export function encodeVringState(state: VringState): Buffer {
  const payload = Buffer.alloc(8);
  payload.writeUInt32LE(state.index, 0);
  payload.writeUInt32LE(state.value, 4);
  return payload;
}

export interface VringAddresses {
  descriptorAddress: bigint;
  availableAddress: bigint;
  usedAddress: bigint;
}

/** SET_VRING_ADDR. The only flag asks for dirty logging, which is never offered. */
export function decodeVringAddresses(payload: Buffer): VringAddresses & { index: number } {
  const flags = payload.readUInt32LE(4);
  if (flags !== 0) throw new ProtocolError(`ring flags 0x${flags.toString(16)}, none were offered`);
  return {
    index: payload.readUInt32LE(0),
    descriptorAddress: payload.readBigUInt64LE(8),
    usedAddress: payload.readBigUInt64LE(16),
    availableAddress: payload.readBigUInt64LE(24),
  };
}

/** SET_VRING_KICK, _CALL, _ERR: bits 0-7 the ring, bit 8 set when no descriptor comes with it. */
export function decodeVringFd(payload: Buffer, fdCount: number): { index: number } {
  const value = decodeU64(payload);
  if (value > 0x1ffn) throw new ProtocolError(`reserved bits set in 0x${value.toString(16)}`);
  const expected = value & 0x100n ? 0 : 1;
  if (fdCount !== expected) throw new ProtocolError(`${fdCount} descriptors, its payload says ${expected}`);
  return { index: Number(value & 0xffn) };
}

export type RegionDescription = Omit<MemoryRegion, 'fd'>;

function decodeRegion(payload: Buffer, offset: number): RegionDescription {
  return {
    guestPhysicalAddress: payload.readBigUInt64LE(offset),
    sizeBytes: payload.readBigUInt64LE(offset + 8),
    userspaceAddress: payload.readBigUInt64LE(offset + 16),
    mmapOffsetBytes: payload.readBigUInt64LE(offset + 24),
  };
}

/** SET_MEM_TABLE: a count, padding, that many regions, a descriptor each. */
export function decodeMemoryTable(payload: Buffer, fdCount: number): RegionDescription[] {
  const regionCount = payload.readUInt32LE(0);
  if (payload.length !== 8 + regionCount * 32) {
    throw new ProtocolError(`${regionCount} regions in a payload of ${payload.length} bytes`);
  }
  if (fdCount !== regionCount) throw new ProtocolError(`${fdCount} descriptors for ${regionCount} regions`);
  return Array.from({ length: regionCount }, (_, region) => decodeRegion(payload, 8 + region * 32));
}

/** ADD_MEM_REG, REM_MEM_REG: padding, one region. */
export function decodeMemoryRegion(payload: Buffer): RegionDescription {
  return decodeRegion(payload, 8);
}

export interface ConfigRange {
  offset: number;
  sizeBytes: number;
  flags: number;
}

/** GET_CONFIG, SET_CONFIG: a header, then as many bytes as it says. */
export function decodeConfigRange(payload: Buffer): ConfigRange {
  const range = {
    offset: payload.readUInt32LE(0),
    sizeBytes: payload.readUInt32LE(4),
    flags: payload.readUInt32LE(8),
  };
  if (payload.length !== 12 + range.sizeBytes) {
    throw new ProtocolError(`${range.sizeBytes} bytes of config space in a payload of ${payload.length}`);
  }
  return range;
}

export function encodeConfigRange(range: ConfigRange, contents: Buffer): Buffer {
  const header = Buffer.alloc(12);
  header.writeUInt32LE(range.offset, 0);
  header.writeUInt32LE(contents.length, 4);
  header.writeUInt32LE(range.flags, 8);
  return Buffer.concat([header, contents]);
}
