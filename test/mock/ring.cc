#include "mock/ring.h"

#define VIRTIO_RING_NO_LEGACY  // the rest is not C++
#include <linux/virtio_ring.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <system_error>

namespace tmemd::mock {

namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kSpinBeforeSleep = std::chrono::microseconds(20);

uint16_t load16(std::byte* where, std::memory_order order) {
  return std::atomic_ref<uint16_t>(*reinterpret_cast<uint16_t*>(where)).load(order);
}

void store16(std::byte* where, uint16_t value, std::memory_order order) {
  std::atomic_ref<uint16_t>(*reinterpret_cast<uint16_t*>(where)).store(value, order);
}

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Whether going from `before` to `after` passes the index the other side asked to be told about (2.7.10).
bool passes(uint16_t event, uint16_t after, uint16_t before) {
  return static_cast<uint16_t>(after - event - 1) < static_cast<uint16_t>(after - before);
}

int newEventfd() {
  const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
  return fd;
}

}  // namespace

Ring::Ring(GuestMemory& memory, uint16_t size, size_t regionIndex, bool eventIdx)
    : memory_(memory), eventIdx_(eventIdx), chainLength_(size, 0), nextOf_(size, 0) {
  if (size == 0 || (size & (size - 1)) != 0) throw std::invalid_argument("ring size must be a power of two");
  layout_.size = size;
  layout_.descriptors = memory.allocate(regionIndex, descriptorBytes(size), 16);
  layout_.available = memory.allocate(regionIndex, availableBytes(size), 2);
  layout_.used = memory.allocate(regionIndex, usedBytes(size), 4);
  kickFd_ = newEventfd();
  callFd_ = newEventfd();
  reset();
}

Ring::~Ring() {
  close(kickFd_);
  close(callFd_);
}

void Ring::reset() {
  const uint16_t size = layout_.size;
  std::memset(memory_.at(layout_.descriptors, descriptorBytes(size)), 0, descriptorBytes(size));
  std::memset(memory_.at(layout_.available, availableBytes(size)), 0, availableBytes(size));
  std::memset(memory_.at(layout_.used, usedBytes(size)), 0, usedBytes(size));
  freeDescriptors_.clear();
  for (uint16_t i = size; i > 0; --i) freeDescriptors_.push_back(static_cast<uint16_t>(i - 1));
  chainLength_.assign(size, 0);
  availableIndex_ = publishedIndex_ = usedIndex_ = 0;
  // No interrupts until somebody waits for one.
  if (!eventIdx_) store16(memory_.at(layout_.available, 2), VRING_AVAIL_F_NO_INTERRUPT, std::memory_order_relaxed);
}

void Ring::writeDescriptor(uint64_t tableAddress, uint16_t slot, const Segment& segment, uint16_t flags,
                           uint16_t next) {
  vring_desc descriptor;
  descriptor.addr = segment.address;
  descriptor.len = segment.length;
  descriptor.flags = static_cast<uint16_t>(flags | (segment.writable ? VRING_DESC_F_WRITE : 0));
  descriptor.next = next;
  std::memcpy(memory_.at(tableAddress + uint64_t{16} * slot, 16), &descriptor, 16);
}

std::optional<uint16_t> Ring::add(std::span<const Segment> segments, std::optional<uint64_t> indirectTable) {
  const size_t needed = indirectTable ? 1 : segments.size();
  if (needed == 0) throw std::invalid_argument("a chain needs a descriptor");
  if (freeDescriptors_.size() < needed) return std::nullopt;

  std::vector<uint16_t> taken(freeDescriptors_.end() - static_cast<ptrdiff_t>(needed), freeDescriptors_.end());
  freeDescriptors_.resize(freeDescriptors_.size() - needed);
  if (indirectTable) {
    for (size_t i = 0; i < segments.size(); ++i) {
      const bool last = i + 1 == segments.size();
      writeDescriptor(*indirectTable, static_cast<uint16_t>(i), segments[i], last ? 0 : VRING_DESC_F_NEXT,
                      last ? 0 : static_cast<uint16_t>(i + 1));
    }
    const Segment table{*indirectTable, static_cast<uint32_t>(16 * segments.size()), false};
    writeDescriptor(layout_.descriptors, taken[0], table, VRING_DESC_F_INDIRECT, 0);
  } else {
    for (size_t i = 0; i < needed; ++i) {
      const bool last = i + 1 == needed;
      nextOf_[taken[i]] = last ? 0 : taken[i + 1];
      writeDescriptor(layout_.descriptors, taken[i], segments[i], last ? 0 : VRING_DESC_F_NEXT, nextOf_[taken[i]]);
    }
  }
  chainLength_[taken[0]] = static_cast<uint16_t>(needed);
  addHead(taken[0]);
  return taken[0];
}

void Ring::addHead(uint16_t head) {
  const uint16_t slot = static_cast<uint16_t>(availableIndex_ & (layout_.size - 1));
  store16(memory_.at(layout_.available + 4 + uint64_t{2} * slot, 2), head, std::memory_order_relaxed);
  ++availableIndex_;
}

bool Ring::publish() {
  const uint16_t before = publishedIndex_;
  publishedIndex_ = availableIndex_;
  // Release: pairs with the device's acquire of the available index, so that it sees the descriptors.
  store16(memory_.at(layout_.available + 2, 2), publishedIndex_, std::memory_order_release);
  // Full fence: the index store must not pass the load of what the device asks for (Dekker with the device's
  // write of avail_event and its re-check of the index).
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (publishedIndex_ == before) return false;
  if (eventIdx_) {
    const uint16_t event =
        load16(memory_.at(layout_.used + 4 + uint64_t{8} * layout_.size, 2), std::memory_order_relaxed);
    return passes(event, publishedIndex_, before);
  }
  return (load16(memory_.at(layout_.used, 2), std::memory_order_relaxed) & VRING_USED_F_NO_NOTIFY) == 0;
}

void Ring::kick() {
  const uint64_t one = 1;
  ++kicks_;
  if (::write(kickFd_, &one, sizeof one) < 0 && errno != EAGAIN)
    throw std::system_error(errno, std::generic_category(), "kick");
}

uint16_t Ring::deviceUsedIndex() const {
  // Acquire: pairs with the device's release of the used index, so that we see the entries and the data.
  return load16(memory_.at(layout_.used + 2, 2), std::memory_order_acquire);
}

std::optional<UsedEntry> Ring::take() {
  if (deviceUsedIndex() == usedIndex_) return std::nullopt;
  const uint16_t slot = static_cast<uint16_t>(usedIndex_ & (layout_.size - 1));
  vring_used_elem element;
  std::memcpy(&element, memory_.at(layout_.used + 4 + uint64_t{8} * slot, 8), 8);
  ++usedIndex_;
  if (element.id < layout_.size) freeChain(static_cast<uint16_t>(element.id));
  return UsedEntry{element.id, element.len};
}

void Ring::freeChain(uint16_t head) {
  uint16_t descriptor = head;
  for (uint16_t left = chainLength_[head]; left > 0; --left) {
    freeDescriptors_.push_back(descriptor);
    descriptor = nextOf_[descriptor];
  }
  chainLength_[head] = 0;
}

bool Ring::wait(int timeoutMs, bool byInterrupt) {
  const auto start = Clock::now();
  const auto deadline = start + std::chrono::milliseconds(timeoutMs);
  const auto sleepAt = byInterrupt ? start + kSpinBeforeSleep : deadline;
  while (deviceUsedIndex() == usedIndex_) {
    if (Clock::now() >= sleepAt) break;
    pause();
  }
  if (deviceUsedIndex() != usedIndex_) return true;
  if (!byInterrupt) return false;

  bool arrived = false;
  while (!arrived) {
    if (eventIdx_)
      store16(memory_.at(layout_.available + 4 + uint64_t{2} * layout_.size, 2), usedIndex_, std::memory_order_relaxed);
    else
      store16(memory_.at(layout_.available, 2), 0, std::memory_order_relaxed);
    // Full fence: arming must be seen before the index is read again (Dekker with the device's index store
    // and its load of used_event or flags).
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (deviceUsedIndex() != usedIndex_) {
      arrived = true;
      break;
    }
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) break;
    pollfd waiting{callFd_, POLLIN, 0};
    poll(&waiting, 1, static_cast<int>(left));
    uint64_t count;
    if (::read(callFd_, &count, sizeof count) < 0 && errno != EAGAIN) break;
  }
  if (!eventIdx_) store16(memory_.at(layout_.available, 2), VRING_AVAIL_F_NO_INTERRUPT, std::memory_order_relaxed);
  return arrived;
}

}  // namespace tmemd::mock
