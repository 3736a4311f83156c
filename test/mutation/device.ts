/** The virtqueues: what a hostile driver may write into rings, requests and memory, and what it is answered. */
import { inFile, type Mutation } from './mutation.js';

const vring = ['device_vring_test'];
const memory = ['device_guest_memory_test'];
const guard = ['device_fault_guard_test'];
const request = ['device_request_test'];
const whole = ['device_test'];
const blk = ['device_blk_test'];

export const device: readonly Mutation[] = [
  ...inFile('addon/device/vring.cc', vring, [
    {
      check: 'a head lies in the descriptor table',
      from: 'if (chain.head >= layout_.size) return ChainFault::kHeadOutOfRange;',
      to: 'if (chain.head > layout_.size) return ChainFault::kHeadOutOfRange;',
    },
    {
      check: 'a descriptor is copied before it is looked at',
      from: '    vring_desc descriptor;\n    memcpy(&descriptor, &table[index], sizeof descriptor);',
      to: '    const vring_desc& descriptor = table[index];',
    },
    {
      check: 'an indirect table holds no other',
      from: 'if (table != descriptors_ || (descriptor.flags & VRING_DESC_F_NEXT)) return',
      to: 'if (descriptor.flags & VRING_DESC_F_NEXT) return',
    },
    {
      check: 'a chain is readable, then writable',
      from: 'if (!writable && chain.writableBytes != 0) return ChainFault::kReadableAfterWritable;',
      to: '',
    },
    {
      check: 'a chain has no more descriptors than the ring',
      from: 'for (uint32_t count = 0; count < layout_.size;) {',
      to: 'for (uint32_t count = 0; count <= layout_.size;) {',
    },
    {
      check: 'the available index is at most a ring ahead',
      from: 'broken_ = static_cast<uint16_t>(index - consumed_) > layout_.size;',
      to: 'broken_ = false;',
    },
    {
      check: 'a ring is looked at once more before the worker sleeps',
      from: 'return broken_ || knownAvailable() != 0;',
      to: 'return broken_;',
    },
  ]),
  ...inFile('addon/device/guest_memory.cc', memory, [
    {
      check: 'a file is as long as its region says',
      from: 'if (static_cast<uint64_t>(status.st_size) < endBytes)\n    throw',
      to: 'if (false)\n    throw',
    },
    {
      check: 'regions do not overlap',
      from: 'if ((region.*start)() - (below.*start)() < below.sizeBytes())',
      to: 'if ((region.*start)() == (below.*start)())',
    },
  ]),
  ...inFile('addon/device/fault_guard.cc', guard, [
    {
      check: 'a guard covers its own mapping only',
      from: 'return address >= from && address - from < size && turns',
      to: 'return address >= from && address - from < 2 * size && turns',
    },
  ]),
  ...inFile('addon/device/request.cc', request, [
    {
      check: 'a range ends within 2^32 pages',
      from: 'request.pageCount > uint64_t{1} << 32) return false;',
      to: 'request.pageCount > (uint64_t{1} << 32) + 1) return false;',
    },
  ]),
  ...inFile('addon/device/page_requests.cc', whole, [
    {
      check: 'nothing is put of guest memory that was taken away',
      from: '    if (memory.lost()) return false;\n',
      to: '',
    },
    {
      check: 'gets that wait in a batch are answered before what comes after them',
      from: 'if (getCount_ != 0) {',
      to: 'if (false) {',
    },
  ]),
  ...inFile('addon/device/worker.cc', whole, [
    {
      check: 'a ring that is stopped, disabled or broken is not served',
      from: 'if (!queue.runs()) continue;\n    if (queue.vring.knownAvailable()',
      to: 'if (!queue.started) continue;\n    if (queue.vring.knownAvailable()',
    },
    {
      check: 'no write to a call descriptor waits',
      from: 'if (fd) setNonBlocking(fd);',
      to: 'if (!fd) setNonBlocking(fd);',
    },
  ]),
  ...inFile('addon/device/blk_request.cc', blk, [
    {
      check: 'a disk request ends on the disk',
      from: 'sizeBytes / kSectorBytes <= diskSectors - sector;',
      to: 'sector < diskSectors;',
    },
  ]),
  ...inFile('addon/device/blk_requests.cc', blk, [
    {
      check: 'a guest that goes on with a disk that is gone is not given zeros',
      from: 'if (!hooks_.everyRingBeganAtZero()) return hooks_.lifeLost();',
      to: '',
    },
  ]),
  ...inFile('addon/peer/peer_process.cc', ['peer_test'], []),
];
