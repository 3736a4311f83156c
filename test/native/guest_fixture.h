// The least of a guest that a unit test needs: memory in a memfd, and a
// driver's side of a split ring in it. It knows nothing of the device's code
// but the types it takes; the process tests use the mock in test/mock.
#ifndef TMEMD_TEST_NATIVE_GUEST_FIXTURE_H_
#define TMEMD_TEST_NATIVE_GUEST_FIXTURE_H_

#define VIRTIO_RING_NO_LEGACY
#include <linux/virtio_ring.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <vector>

#include "device/guest_memory.h"
#include "device/vring.h"

namespace tmemd::test {

// Guest memory from `guestAddress` on; the front end's addresses are those plus kUserspaceOffset.
class GuestRam {
 public:
  static constexpr uint64_t kUserspaceOffset = 0x7000'0000'0000;

  explicit GuestRam(uint64_t bytes, uint64_t address = 0x1000'0000)
      : sizeBytes(bytes), guestAddress(address), fd_(memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING)) {
    if (ftruncate(fd_.get(), static_cast<off_t>(sizeBytes)) != 0) abort();
    data_ =
        static_cast<std::byte*>(mmap(nullptr, sizeBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0));
  }
  ~GuestRam() { munmap(data_, sizeBytes); }

  RegionSetup region() const {
    return {guestAddress, sizeBytes, guestAddress + kUserspaceOffset, 0, OwnedFd(dup(fd_.get()))};
  }
  int fd() const { return fd_.get(); }
  template <typename T>
  T* at(uint64_t address) const {
    return reinterpret_cast<T*>(data_ + (address - guestAddress));
  }

  const uint64_t sizeBytes;
  const uint64_t guestAddress;

 private:
  OwnedFd fd_;
  std::byte* data_;
};

struct Buffer {
  uint64_t address;
  uint32_t sizeBytes;
  bool writable = false;
};

// The driver's side of one ring; takes the first bytes of the page(s) at `base`.
class DriverRing {
 public:
  DriverRing(const GuestRam& ram, uint64_t base, uint16_t entries)
      : size(entries),
        descriptors(ram.at<vring_desc>(base)),
        available(ram.at<vring_avail>(base + 16 * entries)),
        used(ram.at<vring_used>(base + usedOffset(entries))),
        availEvent_(ram.at<uint16_t>(base + usedOffset(entries) + 4 + 8 * entries)),
        base_(base) {}

  VringLayout layout(bool eventIdx = false) const {
    const uint64_t base = base_ + GuestRam::kUserspaceOffset;
    return {size, base, base + 16u * size, base + usedOffset(size), 0, eventIdx};
  }

  // Direct descriptors, chained from the next free one.
  uint16_t add(const std::vector<Buffer>& buffers) {
    const uint16_t head = nextDescriptor_;
    for (size_t i = 0; i < buffers.size(); ++i) {
      const bool last = i + 1 == buffers.size();
      const auto next = static_cast<uint16_t>((nextDescriptor_ + 1) % size);
      descriptors[nextDescriptor_] = {buffers[i].address, buffers[i].sizeBytes,
                                      static_cast<uint16_t>((last ? 0 : VRING_DESC_F_NEXT) |
                                                            (buffers[i].writable ? VRING_DESC_F_WRITE : 0)),
                                      next};
      nextDescriptor_ = next;
    }
    offer(head);
    return head;
  }
  void offer(uint16_t head) { available->ring[offered_++ % size] = head; }
  void publish() { std::atomic_ref<uint16_t>(available->idx).store(offered_); }
  uint16_t usedIndex() const { return std::atomic_ref<uint16_t>(used->idx).load(); }
  vring_used_elem completion(uint16_t index) const { return used->ring[index % size]; }
  // The used index from which on an interrupt is wanted.
  void setUsedEvent(uint16_t index) { std::atomic_ref<uint16_t>(available->ring[size]).store(index); }
  uint16_t availEvent() const { return std::atomic_ref<uint16_t>(*availEvent_).load(); }

  const uint16_t size;
  vring_desc* const descriptors;
  vring_avail* const available;
  vring_used* const used;

 private:
  static uint64_t usedOffset(uint64_t entries) { return (18 * entries + 6 + 3) & ~uint64_t{3}; }

  uint16_t* const availEvent_;
  const uint64_t base_;
  uint16_t nextDescriptor_ = 0;
  uint16_t offered_ = 0;
};

}  // namespace tmemd::test

#endif  // TMEMD_TEST_NATIVE_GUEST_FIXTURE_H_
