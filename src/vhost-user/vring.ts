/**
 * One ring as the front end described it so far, and whether the device runs it.
 *
 *   undescribed --SET_VRING_NUM, _ADDR--> described --SET_VRING_KICK--> started
 *        started --GET_VRING_BASE, reset--> described
 *
 * SET_VRING_ENABLE is independent of that: a started ring is processed while
 * enabled. Descriptors given before the start wait here; after it they go
 * straight to the device, which owns what it was given until the ring stops.
 *
 * There is a device only once the front end has taken it (attach()); what is
 * said before waits here, and no ring can be started.
 */
import type { NativeDevice } from '../native/addon.js';
import type { OwnedFd } from './owned-fd.js';
import type { VringAddresses } from './payloads.js';
import { ProtocolError, RefusedError } from './protocol-error.js';

/** The standard's bound on split rings (virtio 1.2, section 2.7). */
export const MAX_RING_SIZE = 32768;
/** A chain may not be longer than its ring, indirect or not (2.7.5.3.1), and a request is read from and written to. */
const MIN_RING_SIZE = 2;

/** QEMU leaves out, without a word, every part of the guest's memory that it cannot share. */
const NO_MEMORY =
  "the front end has given none of the guest's memory; give every memory backend of the guest share=on";

export class Vring {
  readonly index: number;
  #device: NativeDevice | undefined;
  #size = 0;
  #addresses: VringAddresses | undefined;
  #base = 0;
  #callFd: OwnedFd | undefined;
  #enabled = false;
  #started = false;

  constructor(index: number) {
    this.index = index;
  }

  /** The device that serves the ring from now on. */
  async attach(device: NativeDevice): Promise<void> {
    this.#device = device;
    if (this.#enabled) await device.enableVring(this.index, true);
  }

  get size(): number {
    return this.#size;
  }
  get started(): boolean {
    return this.#started;
  }
  get enabled(): boolean {
    return this.#enabled;
  }
  get described(): boolean {
    return this.#size > 0 && this.#addresses !== undefined;
  }

  setSize(size: number): void {
    if (size < MIN_RING_SIZE || size > MAX_RING_SIZE || (size & (size - 1)) !== 0) {
      const allowed = `powers of two from ${MIN_RING_SIZE} to ${MAX_RING_SIZE}`;
      throw new ProtocolError(
        `ring size ${size}, allowed: ${allowed} (a request is two descriptors at least)`,
      );
    }
    this.#size = size;
  }

  setAddresses(addresses: VringAddresses): void {
    this.#addresses = addresses;
  }

  setBase(base: number): void {
    if (base > 0xffff) throw new ProtocolError(`ring base ${base}, allowed: 0 to 65535`);
    this.#base = base;
  }

  /** Starts the ring, or gives a started one another kick descriptor; none: it is polled. */
  async setKick(kickFd: OwnedFd | undefined, eventIdx: boolean): Promise<void> {
    if (!this.#device) throw new RefusedError(NO_MEMORY);
    if (this.#started) return this.#device.setKickFd(this.index, kickFd?.take());
    if (!this.#addresses) throw new ProtocolError('ring without addresses');
    const callFd = this.#callFd;
    this.#callFd = undefined;
    await this.#device.startVring({
      queueIndex: this.index,
      size: this.#size,
      descriptorAddress: this.#addresses.descriptorAddress,
      availableAddress: this.#addresses.availableAddress,
      usedAddress: this.#addresses.usedAddress,
      lastAvailableIndex: this.#base,
      eventIdx,
      ...(kickFd && { kickFd: kickFd.take() }),
      ...(callFd && { callFd: callFd.take() }),
    });
    this.#started = true;
  }

  async setCall(callFd: OwnedFd | undefined): Promise<void> {
    if (this.#device && this.#started) return this.#device.setCallFd(this.index, callFd?.take());
    this.#callFd?.close();
    this.#callFd = callFd;
  }

  async setEnabled(enabled: boolean): Promise<void> {
    this.#enabled = enabled;
    await this.#device?.enableVring(this.index, enabled);
  }

  /** Stops the ring where it stands and returns the next available index. */
  async stop(): Promise<number> {
    if (this.#device && this.#started) {
      this.#started = false;
      this.#base = await this.#device.stopVring(this.index);
    }
    return this.#base;
  }

  /** Closes what it still holds; the device closes the rest. */
  close(): void {
    this.#callFd?.close();
    this.#callFd = undefined;
  }
}
