// Taking chains from a ring that a hostile guest may write to at any moment, and completing them.
#include "device/vring.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <limits>

namespace tmemd {
namespace {

// The wire is little endian, and so is every host this is built for.
static_assert(std::endian::native == std::endian::little);
static_assert(sizeof(vring_desc) == 16 && sizeof(vring_used_elem) == 8);

std::atomic_ref<uint16_t> shared(uint16_t& value) { return std::atomic_ref<uint16_t>(value); }

constexpr uint64_t kMaxChainBytes = uint64_t{1} << 32;

}  // namespace

const char* describe(ChainFault fault) {
  switch (fault) {
    case ChainFault::kNone:
      return "none";
    case ChainFault::kHeadOutOfRange:
      return "head beyond the descriptor table";
    case ChainFault::kNextOutOfRange:
      return "next beyond the descriptor table";
    case ChainFault::kTooLong:
      return "loop, or longer than the queue";
    case ChainFault::kAddressOutOfRange:
      return "address outside guest memory";
    case ChainFault::kLengthOverflow:
      return "more than 4 GiB";
    case ChainFault::kReadableAfterWritable:
      return "readable descriptor after a writable one";
    case ChainFault::kNestedIndirect:
      return "nested indirect table, or indirect with next";
    case ChainFault::kIndirectLength:
      return "bad length of indirect table";
  }
  return "unknown";
}

std::string Vring::start(const VringLayout& layout, const GuestMemory& memory) {
  if (!std::has_single_bit(layout.size) || layout.size > kMaxSize)
    return "ring size " + std::to_string(layout.size) + " is not a power of two up to 32768";
  layout_ = layout;
  mask_ = static_cast<uint16_t>(layout.size - 1);
  if (std::string problem = resolve(memory); !problem.empty()) return problem;
  indirect_.reserve(layout.size);
  used_ = shared(usedRing_->idx).load(std::memory_order_relaxed);  // ours: nobody else writes it
  const auto ahead = static_cast<uint16_t>(layout.lastAvailableIndex - used_);
  consumed_ = ahead <= layout.size ? used_ : layout.lastAvailableIndex;
  available_ = consumed_;
  unpublished_ = 0;
  everPublished_ = false;
  broken_ = false;
  return {};
}

std::string Vring::relocate(const GuestMemory& memory) { return resolve(memory); }

std::string Vring::resolve(const GuestMemory& memory) {
  // 2.7: sizes and alignments of the three parts; the two event fields count
  // whether or not EVENT_IDX was negotiated, as every driver allocates them.
  const uint64_t size = layout_.size;
  std::byte* descriptors = memory.translateUserspace(layout_.descriptorAddress, 16 * size);
  std::byte* available = memory.translateUserspace(layout_.availableAddress, 6 + 2 * size);
  std::byte* used = memory.translateUserspace(layout_.usedAddress, 6 + 8 * size);
  auto misaligned = [](const std::byte* address, uintptr_t to) {
    return reinterpret_cast<uintptr_t>(address) % to != 0;
  };
  if (!descriptors || misaligned(descriptors, 16))
    return "descriptor table outside guest memory or misaligned";
  if (!available || misaligned(available, 2)) return "available ring outside guest memory or misaligned";
  if (!used || misaligned(used, 4)) return "used ring outside guest memory or misaligned";
  descriptors_ = reinterpret_cast<vring_desc*>(descriptors);
  availableRing_ = reinterpret_cast<vring_avail*>(available);
  usedRing_ = reinterpret_cast<vring_used*>(used);
  return {};
}

void Vring::loadAvailableIndex() {
  // Acquire: pairs with the driver's write barrier between filling
  // descriptors and raising available.idx (2.7.13.3).
  adoptAvailableIndex(shared(availableRing_->idx).load(std::memory_order_acquire));
}

void Vring::adoptAvailableIndex(uint16_t index) {
  broken_ = static_cast<uint16_t>(index - consumed_) > layout_.size;
  available_ = broken_ ? consumed_ : index;
}

ChainFault Vring::take(const GuestMemory& memory, Chain& chain) {
  chain.clear();
  chain.head = shared(availableRing_->ring[consumed_ & mask_]).load(std::memory_order_relaxed);
  ++consumed_;
  return walk(memory, chain);
}

ChainFault Vring::walk(const GuestMemory& memory, Chain& chain) {
  if (chain.head >= layout_.size) return ChainFault::kHeadOutOfRange;
  const vring_desc* table = descriptors_;
  uint32_t tableSize = layout_.size;
  uint32_t index = chain.head;
  for (uint32_t count = 0; count < layout_.size;) {
    if (index >= tableSize) return ChainFault::kNextOutOfRange;
    vring_desc descriptor;
    memcpy(&descriptor, &table[index], sizeof descriptor);
    if (descriptor.flags & VRING_DESC_F_INDIRECT) {
      if (table != descriptors_ || (descriptor.flags & VRING_DESC_F_NEXT)) return ChainFault::kNestedIndirect;
      const uint32_t entries = descriptor.len / sizeof(vring_desc);
      if (descriptor.len % sizeof(vring_desc) != 0 || entries == 0 || entries > layout_.size)
        return ChainFault::kIndirectLength;
      indirectSegments_.clear();
      if (!memory.translate(descriptor.addr, descriptor.len, indirectSegments_))
        return ChainFault::kAddressOutOfRange;
      indirect_.resize(entries);
      SegmentCursor(indirectSegments_).read(indirect_.data(), descriptor.len);
      table = indirect_.data();
      tableSize = entries;
      index = 0;
      continue;  // at most once
    }
    if (ChainFault fault = append(descriptor, memory, chain); fault != ChainFault::kNone) return fault;
    if (!(descriptor.flags & VRING_DESC_F_NEXT)) return ChainFault::kNone;
    index = descriptor.next;
    ++count;
  }
  return ChainFault::kTooLong;
}

ChainFault Vring::append(const vring_desc& descriptor, const GuestMemory& memory, Chain& chain) {
  const bool writable = descriptor.flags & VRING_DESC_F_WRITE;
  if (!writable && chain.writableBytes != 0) return ChainFault::kReadableAfterWritable;
  uint64_t& total = writable ? chain.writableBytes : chain.readableBytes;
  total += descriptor.len;
  if (chain.readableBytes + chain.writableBytes > kMaxChainBytes) return ChainFault::kLengthOverflow;
  return memory.translate(descriptor.addr, descriptor.len, writable ? chain.writable : chain.readable)
             ? ChainFault::kNone
             : ChainFault::kAddressOutOfRange;
}

void Vring::prefetchAhead(const GuestMemory& memory) const {
  auto headAt = [this](uint16_t index) {
    return shared(availableRing_->ring[index & mask_]).load(std::memory_order_relaxed);
  };
  const uint16_t known = knownAvailable();
  if (known == 0) return;
  if (known > 1) {
    if (const uint16_t head = headAt(static_cast<uint16_t>(consumed_ + 1)); head < layout_.size)
      __builtin_prefetch(&descriptors_[head]);
  }
  // Requests are short chains: the request, a page or a few, the response.
  constexpr int kDescriptorsMax = 3;
  uint16_t index = headAt(consumed_);
  for (int i = 0; i < kDescriptorsMax && index < layout_.size; ++i) {
    vring_desc descriptor;
    memcpy(&descriptor, &descriptors_[index], sizeof descriptor);
    if (descriptor.flags & (VRING_DESC_F_INDIRECT | VRING_DESC_F_WRITE)) return;
    const uint64_t bytes = std::min<uint64_t>(descriptor.len, 4096);
    if (const std::byte* data = memory.contiguous(descriptor.addr, bytes)) {
      for (uint64_t at = 0; at < bytes; at += 64) __builtin_prefetch(data + at);
    }
    if (!(descriptor.flags & VRING_DESC_F_NEXT)) return;
    index = descriptor.next;
  }
}

void Vring::complete(uint16_t head, uint32_t writtenBytes) {
  const vring_used_elem element = {head, writtenBytes};
  memcpy(&usedRing_->ring[static_cast<uint16_t>(used_ + unpublished_) & mask_], &element, sizeof element);
  ++unpublished_;
}

bool Vring::publish() {
  if (unpublished_ == 0) return false;
  const uint16_t before = used_;
  used_ = static_cast<uint16_t>(used_ + unpublished_);
  unpublished_ = 0;
  // Release part: pairs with the driver's read barrier after it read used.idx,
  // so that it sees the elements and the data. Sequentially consistent, with
  // the load below: pairs with the driver's full barrier between writing
  // used_event (or flags) and reading used.idx (2.7.10): either it sees this
  // index, or we see its wish.
  shared(usedRing_->idx).store(used_, std::memory_order_seq_cst);
  const bool first = !std::exchange(everPublished_, true);
  if (!layout_.eventIdx)
    return !(shared(availableRing_->flags).load(std::memory_order_seq_cst) & VRING_AVAIL_F_NO_INTERRUPT);
  const uint16_t usedEvent = shared(availableRing_->ring[layout_.size]).load(std::memory_order_seq_cst);
  return first || vring_need_event(usedEvent, used_, before);
}

void Vring::suppressKicks() {
  // With EVENT_IDX the stale avail_event does it: the driver has passed it.
  if (!layout_.eventIdx) shared(usedRing_->flags).store(VRING_USED_F_NO_NOTIFY, std::memory_order_relaxed);
}

bool Vring::allowKicks() {
  // Sequentially consistent, with the load below: pairs with the driver's full
  // barrier between raising available.idx and reading avail_event or flags
  // (2.7.13.4): either it kicks, or we see its chain.
  if (layout_.eventIdx) {
    auto* availEvent = reinterpret_cast<uint16_t*>(&usedRing_->ring[layout_.size]);
    shared(*availEvent).store(consumed_, std::memory_order_seq_cst);
  } else {
    shared(usedRing_->flags).store(0, std::memory_order_seq_cst);
  }
  adoptAvailableIndex(shared(availableRing_->idx).load(std::memory_order_seq_cst));
  return broken_ || knownAvailable() != 0;
}

}  // namespace tmemd
