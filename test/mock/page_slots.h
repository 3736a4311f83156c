// What a stream's requests of one page use, whatever the device: for each slot
// room for what its protocol asks for, and a page that what is read lands in;
// and the corpus, whose pages are written where they lie in guest memory.
#ifndef TMEMD_TEST_MOCK_PAGE_SLOTS_H_
#define TMEMD_TEST_MOCK_PAGE_SLOTS_H_

#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <stdexcept>

#include "mock/ring.h"

namespace tmemd::mock {

class PageSlots {
 public:
  static constexpr uint32_t kPageBytes = 4096;

  // The corpus lies at `corpusAddress`; the slots are placed in `regionIndex`. A request is 3 segments at most.
  PageSlots(GuestMemory& memory, Ring& ring, size_t regionIndex, uint32_t depth, uint32_t headerBytes,
            uint64_t corpusAddress)
      : memory_(memory), ring_(ring), headerBytes_(headerBytes), corpus_(corpusAddress) {
    if (depth == 0 || depth * 3 > ring.layout().size)
      throw std::invalid_argument("depth must be 1 to a third of the ring's size");
    headers_ = memory.allocate(regionIndex, uint64_t{depth} * headerBytes, 64);
    landing_ = memory.allocate(regionIndex, uint64_t{depth} * kPageBytes, kPageBytes);
  }

  // The slot's room for the protocol: its guest address, and reading and writing a struct in it.
  uint64_t header(uint32_t slot) const { return headers_ + uint64_t{slot} * headerBytes_; }
  template <typename Struct>
  Segment write(uint32_t slot, uint32_t offset, const Struct& value) {
    std::memcpy(memory_.at(header(slot) + offset, sizeof value), &value, sizeof value);
    return {header(slot) + offset, sizeof value, false};
  }
  template <typename Struct>
  Struct read(uint32_t slot, uint32_t offset) const {
    Struct value;
    std::memcpy(&value, memory_.at(header(slot) + offset, sizeof value), sizeof value);
    return value;
  }

  Segment corpusPage(uint32_t page) const { return {corpus_ + uint64_t{page} * kPageBytes, kPageBytes, false}; }
  Segment landing(uint32_t slot) const { return {landing_ + uint64_t{slot} * kPageBytes, kPageBytes, true}; }
  bool hasLanded(uint32_t slot, uint32_t page) const {
    return std::memcmp(memory_.at(landing(slot).address, kPageBytes), memory_.at(corpusPage(page).address, kPageBytes),
                       kPageBytes) == 0;
  }

  // Returns the chain's head.
  uint16_t add(std::span<const Segment> segments) {
    const std::optional<uint16_t> head = ring_.add(segments);
    if (!head) throw std::logic_error("the ring is in use by somebody else");
    return *head;
  }

 private:
  GuestMemory& memory_;
  Ring& ring_;
  const uint32_t headerBytes_;
  const uint64_t corpus_;
  uint64_t headers_ = 0;
  uint64_t landing_ = 0;
};

}  // namespace tmemd::mock

#endif  // TMEMD_TEST_MOCK_PAGE_SLOTS_H_
