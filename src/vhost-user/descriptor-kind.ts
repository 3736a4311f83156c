/**
 * Which descriptors are kept. A front end may pass anything that is a file, and to close it, look at it or wait on
 * it takes as long as whoever serves the file likes; an eventfd and a UNIX socket do not wait. Memory, which can be
 * told only by looking, is looked at elsewhere (addon/napi/errand.h).
 */
import type { DescriptorKind, NativeAddon } from '../native/addon.js';
import type { OwnedFd } from './owned-fd.js';
import { RefusedError } from './protocol-error.js';

const names: Record<Exclude<DescriptorKind, 'other'>, string> = {
  eventfd: 'eventfd',
  'unix-stream': 'connected UNIX stream socket',
};

/** Throws a RefusedError when there is a descriptor and it is of another kind. */
export function requireKind(
  native: Pick<NativeAddon, 'descriptorKind'>,
  fd: OwnedFd | undefined,
  kind: keyof typeof names,
): void {
  if (fd && native.descriptorKind(fd.number) !== kind) {
    throw new RefusedError(`its descriptor is no ${names[kind]}`);
  }
}
