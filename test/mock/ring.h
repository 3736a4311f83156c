// The driver's side of a split virtqueue (virtio 1.2, section 2.7), in the
// memory of a pretended guest.
//
// A chain is added, which takes descriptors from a free list and writes the
// head into the available ring; nothing is visible to the device until
// publish(), so that a batch costs one index store and at most one kick. What
// the device has returned is taken one entry at a time, in used-ring order.
//
// The addresses of the three parts are open to the caller: a hostile driver is
// this class plus writes of its own into guest memory.
//
// Threads: one at a time.
#ifndef TMEMD_TEST_MOCK_RING_H_
#define TMEMD_TEST_MOCK_RING_H_

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "mock/guest_memory.h"

namespace tmemd::mock {

// One descriptor's worth: guest physical address, bytes, who may write.
struct Segment {
  uint64_t address = 0;
  uint32_t length = 0;
  bool writable = false;
};

struct RingLayout {
  uint16_t size = 0;  // a power of two
  uint64_t descriptors = 0;
  uint64_t available = 0;
  uint64_t used = 0;
};

struct UsedEntry {
  uint32_t head = 0;
  uint32_t length = 0;
};

class Ring {
 public:
  // Bytes each part takes, event words included.
  static uint64_t descriptorBytes(uint16_t size) { return uint64_t{16} * size; }
  static uint64_t availableBytes(uint16_t size) { return 6 + uint64_t{2} * size; }
  static uint64_t usedBytes(uint16_t size) { return 6 + uint64_t{8} * size; }

  // Places a ring in a region of the memory. Kick and call are fresh eventfds.
  Ring(GuestMemory& memory, uint16_t size, size_t regionIndex, bool eventIdx);
  ~Ring();
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  const RingLayout& layout() const { return layout_; }
  bool eventIdx() const { return eventIdx_; }
  int kickFd() const { return kickFd_; }
  int callFd() const { return callFd_; }

  // Empties the ring, as a driver that starts anew does.
  void reset();

  // The head of the new chain; nothing when descriptors are short. With a
  // table address the chain takes one descriptor and is written there.
  std::optional<uint16_t> add(std::span<const Segment> segments,
                              std::optional<uint64_t> indirectTable = std::nullopt);

  // Puts a head into the available ring without owning its descriptors.
  void addHead(uint16_t head);

  // Shows the device what was added. True when the device asked to be told.
  bool publish();
  void kick();

  // The next returned chain; its descriptors are free again.
  std::optional<UsedEntry> take();

  // Waits until take() has something: by polling alone, or by polling for a
  // moment and then asking for an interrupt. False when time ran out.
  bool wait(int timeoutMs, bool byInterrupt);

  uint16_t availableIndex() const { return availableIndex_; }
  uint16_t usedIndex() const { return usedIndex_; }
  uint64_t kicks() const { return kicks_; }

 private:
  void writeDescriptor(uint64_t tableAddress, uint16_t slot, const Segment& segment, uint16_t flags,
                       uint16_t next);
  uint16_t deviceUsedIndex() const;
  void freeChain(uint16_t head);

  GuestMemory& memory_;
  RingLayout layout_;
  const bool eventIdx_;
  int kickFd_ = -1;
  int callFd_ = -1;

  std::vector<uint16_t> freeDescriptors_;
  std::vector<uint16_t> chainLength_;  // by head; 0: not a chain of ours
  std::vector<uint16_t> nextOf_;
  uint16_t availableIndex_ = 0;  // next to write
  uint16_t publishedIndex_ = 0;
  uint16_t usedIndex_ = 0;  // next to take
  uint64_t kicks_ = 0;
};

}  // namespace tmemd::mock

#endif  // TMEMD_TEST_MOCK_RING_H_
