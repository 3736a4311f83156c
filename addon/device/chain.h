// A descriptor chain as the device sees it: host segments to read, then host
// segments to write, and a cursor that does not care how they were cut.
#ifndef TMEMD_DEVICE_CHAIN_H_
#define TMEMD_DEVICE_CHAIN_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "device/guest_memory.h"

namespace tmemd {

struct Chain {
  uint16_t head = 0;
  std::vector<Segment> readable;
  std::vector<Segment> writable;
  uint64_t readableBytes = 0;
  uint64_t writableBytes = 0;

  void clear() {
    readable.clear();
    writable.clear();
    readableBytes = writableBytes = 0;
  }
};

// Walks segments front to back. The caller never goes beyond their end.
class SegmentCursor {
 public:
  explicit SegmentCursor(const std::vector<Segment>& segments) : segments_(&segments) {}

  void read(void* to, size_t sizeBytes) {
    auto* out = static_cast<std::byte*>(to);
    forEachPiece(sizeBytes, [&out](std::byte* data, size_t bytes) {
      memcpy(out, data, bytes);
      out += bytes;
    });
  }

  void write(const void* from, size_t sizeBytes) {
    const auto* in = static_cast<const std::byte*>(from);
    forEachPiece(sizeBytes, [&in](std::byte* data, size_t bytes) {
      memcpy(data, in, bytes);
      in += bytes;
    });
  }

  void fill(std::byte value, size_t sizeBytes) {
    forEachPiece(sizeBytes,
                 [value](std::byte* data, size_t bytes) { memset(data, static_cast<int>(value), bytes); });
  }

  // The next `sizeBytes` if the store may write to them, in one piece and without being held up; passes
  // them. Else null, passing nothing.
  std::byte* contiguous(size_t sizeBytes) {
    const Segment& segment = (*segments_)[index_];
    if (segment.sizeBytes - offset_ < sizeBytes || segment.mayBlock) return nullptr;
    std::byte* data = segment.data + offset_;
    advance(sizeBytes);
    return data;
  }

  void skip(size_t sizeBytes) {
    forEachPiece(sizeBytes, [](std::byte*, size_t) {});
  }

 private:
  template <typename Visit>
  void forEachPiece(size_t sizeBytes, Visit visit) {
    while (sizeBytes > 0) {
      const Segment& segment = (*segments_)[index_];
      const size_t here = std::min(sizeBytes, segment.sizeBytes - offset_);
      visit(segment.data + offset_, here);
      advance(here);
      sizeBytes -= here;
    }
  }

  void advance(size_t sizeBytes) {
    offset_ += sizeBytes;
    if (offset_ == (*segments_)[index_].sizeBytes) {
      ++index_;
      offset_ = 0;
    }
  }

  const std::vector<Segment>* segments_;
  size_t index_ = 0;
  size_t offset_ = 0;
};

}  // namespace tmemd

#endif  // TMEMD_DEVICE_CHAIN_H_
