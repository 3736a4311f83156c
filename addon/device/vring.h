// The device's side of one split virtqueue (virtio 1.2, section 2.7).
//
// A ring is three arrays in guest memory. The driver fills descriptors, puts
// the head of each chain into the available ring and raises available.idx; the
// device puts (head, length) into the used ring and raises used.idx. Indices
// run freely modulo 2^16; a slot is index modulo size.
//
//   consumed_   next available index to take           (ours alone)
//   used_       what used.idx says                     (published)
//   unpublished_ used elements written, not yet published
//
// Everything read here was written by a guest that may be hostile and may
// change it while we look: each descriptor and index is copied once, and the
// copy is checked and used. Chains complete in the order they were taken.
//
// Threads. One worker owns a Vring. The other party is the guest's CPUs; each
// atomic access names the driver's access that it pairs with.
#ifndef TMEMD_DEVICE_VRING_H_
#define TMEMD_DEVICE_VRING_H_

#define VIRTIO_RING_NO_LEGACY  // the rest is not C++
#include <linux/virtio_ring.h>

#include <cstdint>
#include <string>
#include <vector>

#include "device/chain.h"
#include "device/guest_memory.h"

namespace tmemd {

// SET_VRING_NUM, _ADDR and _BASE; addresses are the front end's own.
struct VringLayout {
  uint16_t size = 0;
  uint64_t descriptorAddress = 0;
  uint64_t availableAddress = 0;
  uint64_t usedAddress = 0;
  uint16_t lastAvailableIndex = 0;
  bool eventIdx = false;
};

// Why a chain cannot be answered. It is consumed with length 0.
enum class ChainFault {
  kNone,
  kHeadOutOfRange,         // the available ring names a descriptor beyond the table
  kNextOutOfRange,         // 2.7.5: next is an index into the table
  kTooLong,                // 2.7.5.3.1: longer than the queue size, or a loop
  kAddressOutOfRange,      // not guest memory
  kLengthOverflow,         // 2.7.5: more than 2^32 bytes in total
  kReadableAfterWritable,  // 2.7.4.2
  kNestedIndirect,         // 2.7.5.3.1: INDIRECT in an indirect table, or with NEXT
  kIndirectLength,         // 2.7.5.3.1: not a multiple of 16, empty, or longer than the queue size
};

const char* describe(ChainFault fault);

class Vring {
 public:
  static constexpr uint32_t kMaxSize = 32768;

  // Resolves the layout in `memory` and reads where the used ring stands. A
  // base ahead of the used index means chains taken by a device that died
  // before it completed them: those are taken again.
  // Empty, or one line that says what is wrong with the layout.
  std::string start(const VringLayout& layout, const GuestMemory& memory);
  // Resolves the same ring anew after the memory table changed.
  std::string relocate(const GuestMemory& memory);

  uint16_t consumedIndex() const { return consumed_; }

  // Looks at the available index. When the driver let it run more than a
  // ring's size ahead, broken() is true: nothing here can be trusted any more.
  void loadAvailableIndex();
  bool broken() const { return broken_; }
  // Chains known to be available without looking at the guest's memory.
  uint16_t knownAvailable() const { return static_cast<uint16_t>(available_ - consumed_); }

  // Takes the next chain; one must be known to be available. Whatever the
  // result, chain.head is set and the chain is consumed.
  ChainFault take(const GuestMemory& memory, Chain& chain);

  // Brings nearer to the processor what taking the chain after the next one, and copying the page
  // of the next, will read: the driver's processor wrote it last. Takes no decision.
  void prefetchAhead(const GuestMemory& memory) const;

  // Completes a chain; the driver sees it after publish().
  void complete(uint16_t head, uint32_t writtenBytes);
  // Makes completed chains visible. True when the driver wants an interrupt.
  bool publish();

  // While the worker polls, kicks are a waste.
  void suppressKicks();
  // Asks for a kick. True when a chain became available before the driver
  // could know: look again instead of going to sleep.
  bool allowKicks();

 private:
  std::string resolve(const GuestMemory& memory);
  void adoptAvailableIndex(uint16_t index);
  ChainFault append(const vring_desc& descriptor, const GuestMemory& memory, Chain& chain);
  ChainFault walk(const GuestMemory& memory, Chain& chain);

  VringLayout layout_;
  uint16_t mask_ = 0;
  vring_desc* descriptors_ = nullptr;
  vring_avail* availableRing_ = nullptr;
  vring_used* usedRing_ = nullptr;

  uint16_t consumed_ = 0;
  uint16_t available_ = 0;  // last seen
  uint16_t used_ = 0;
  uint16_t unpublished_ = 0;
  bool everPublished_ = false;
  bool broken_ = false;
  std::vector<vring_desc> indirect_;  // copy of the table being walked
  std::vector<Segment> indirectSegments_;
};

}  // namespace tmemd

#endif  // TMEMD_DEVICE_VRING_H_
