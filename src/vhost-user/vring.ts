/**
 * One ring as the front end described it so far, and whether the device runs it.
 *
 *   undescribed --SET_VRING_NUM, _ADDR--> described --SET_VRING_KICK--> started
 *        started --GET_VRING_BASE, reset--> described
 *
 * SET_VRING_ENABLE is independent of that: a started ring is processed while
 * enabled. Descriptors given before the start wait here; after it they go
 * straight to the device, which owns what it was given until the ring stops.
 */
import type { NativeDevice } from '../native/addon.js';
import type { OwnedFd } from './owned-fd.js';
import type { VringAddresses } from './payloads.js';
import { ProtocolError } from './protocol-error.js';

/** The device's own bound; the standard's is 32768. */
export const MAX_RING_SIZE = 1024;

export class Vring {
  readonly index: number;
  readonly #device: NativeDevice;
  #size = 0;
  #addresses: VringAddresses | undefined;
  #base = 0;
  #callFd: OwnedFd | undefined;
  #enabled = false;
  #started = false;

  constructor(index: number, device: NativeDevice) {
    this.index = index;
    this.#device = device;
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
    if (size < 1 || size > MAX_RING_SIZE || (size & (size - 1)) !== 0) {
      throw new ProtocolError(`ring size ${size}, allowed: powers of two up to ${MAX_RING_SIZE}`);
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
    if (this.#started) return this.#device.setCallFd(this.index, callFd?.take());
    this.#callFd?.close();
    this.#callFd = callFd;
  }

  async setEnabled(enabled: boolean): Promise<void> {
    await this.#device.enableVring(this.index, enabled);
    this.#enabled = enabled;
  }

  /** Stops the ring where it stands and returns the next available index. */
  async stop(): Promise<number> {
    if (this.#started) {
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
