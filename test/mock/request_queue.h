// virtio-tmem requests over a Ring: the guest driver's work, without a kernel.
//
// A slot is guest memory for one request in flight:
//
//     0        256                     4096 - 40      4096
//     | resp of| req of                 ...  | req of  | page data ...
//     |  PUT   |  GET                        |  PUT    |
//                                          | resp of GET (16 bytes, up to 4096)
//
// so that the readable part of a PUT and the writable part of a GET are each
// one run of guest memory, which can be cut into descriptors anywhere: a cut
// is an offset in the readable or the writable part at which a new descriptor
// begins.
#ifndef TMEMD_TEST_MOCK_REQUEST_QUEUE_H_
#define TMEMD_TEST_MOCK_REQUEST_QUEUE_H_

#include <linux/virtio_tmem.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "mock/ring.h"

namespace tmemd::mock {

// How a request is laid into descriptors, honestly or not.
struct Shape {
  // Absent: request header, data and response in descriptors of their own.
  std::optional<std::vector<uint32_t>> readableCuts;
  std::optional<std::vector<uint32_t>> writableCuts;
  // Bytes beyond (or short of) what the request needs.
  int32_t readableExtra = 0;
  int32_t writableExtra = 0;
  bool indirect = false;
};

struct Completion {
  uint32_t slot = 0;
  uint32_t usedLength = 0;
  virtio_tmem_resp response{};
};

class RequestQueue {
 public:
  // Slots have room for maxPages pages each.
  RequestQueue(GuestMemory& memory, Ring& ring, size_t regionIndex, uint32_t slotCount, uint32_t maxPages);

  Ring& ring() { return ring_; }
  uint32_t inFlight() const { return inFlight_; }

  // Writes and adds a request; the slot it took, nothing when slots or
  // descriptors are short. `data` fills the readable part behind the header.
  std::optional<uint32_t> submit(const virtio_tmem_req& request, std::span<const std::byte> data,
                                 const Shape& shape);

  // The next completion. A head that is not of a request in flight is a
  // device's error: throws std::runtime_error.
  std::optional<Completion> take();

  // What a GET brought; valid until the slot is submitted again.
  std::span<const std::byte> data(uint32_t slot, uint32_t bytes) const;

 private:
  uint64_t slotAddress(uint32_t slot) const { return base_ + slot * slotBytes_; }

  GuestMemory& memory_;
  Ring& ring_;
  const uint64_t slotBytes_;
  const uint32_t maxPages_;
  uint64_t base_ = 0;
  uint64_t tables_ = 0;  // an indirect table per slot
  std::vector<uint32_t> freeSlots_;
  std::vector<int64_t> slotOfHead_;  // -1: none
  std::vector<uint64_t> responseOf_;
  uint32_t inFlight_ = 0;
};

}  // namespace tmemd::mock

#endif  // TMEMD_TEST_MOCK_REQUEST_QUEUE_H_
