// The registry of guards and what searches it at a SIGBUS.
#include "device/fault_guard.h"

#include <sys/mman.h>

#include <atomic>
#include <cstdint>
#include <mutex>

#include "engine/bus_error.h"

namespace tmemd {

// A slot is free, live, free again and so on: `turns` counts, and odd is live. The handler may look
// while others come and go. A slot whose count moved meanwhile may have told it the begin of one
// mapping and the size of the next; it is not the one that the handler looks for, which stays.
struct FaultGuard::Slot {
  std::atomic<uint32_t> turns{0};
  std::atomic<bool> lost{false};
  std::atomic<uintptr_t> begin{0};
  std::atomic<size_t> sizeBytes{0};
  std::atomic<size_t> pieceBytes{0};
  Slot* nextFree = nullptr;

  bool covers(uintptr_t address) const {
    // Acquire: pairs with the release that made the slot live.
    const uint32_t turn = turns.load(std::memory_order_acquire);
    if (turn % 2 == 0) return false;
    // Acquire: who sees what a later turn wrote sees below that the count moved.
    const uintptr_t from = begin.load(std::memory_order_acquire);
    const size_t size = sizeBytes.load(std::memory_order_acquire);
    return address >= from && address - from < size && turns.load(std::memory_order_relaxed) == turn;
  }
};

namespace {

// 256 slots, never given back: a handler may be looking at them.
struct Block {
  static constexpr size_t kSlots = 256;
  FaultGuard::Slot slots[kSlots];
  Block* next = nullptr;
};

std::atomic<Block*> blocks{nullptr};
std::atomic<uint64_t> lossCount{0};
std::mutex freeLock;  // guards what follows; not taken by the handler
FaultGuard::Slot* freeSlots = nullptr;

bool replace(uintptr_t begin, size_t sizeBytes) {
  return mmap(reinterpret_cast<void*>(begin), sizeBytes, PROT_READ | PROT_WRITE,
              MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) != MAP_FAILED;
}

// Where memory is not overcommitted (vm.overcommit_memory=2) as much as a guest has is more than can
// be promised; a piece is not, and the worker ends soon after.
bool replaceAround(uintptr_t address, uintptr_t begin, size_t sizeBytes, size_t pieceBytes) {
  return replace(begin, sizeBytes) ||
         replace(begin + (address - begin) / pieceBytes * pieceBytes, pieceBytes);
}

// See bus_error.h.
bool onBusError(uintptr_t address) {
  // Acquire: pairs with the release that published the block.
  for (Block* block = blocks.load(std::memory_order_acquire); block; block = block->next) {
    for (FaultGuard::Slot& slot : block->slots) {
      if (!slot.covers(address)) continue;
      // From here on it is this thread's own, which nobody changes.
      if (!replaceAround(address, slot.begin.load(std::memory_order_relaxed),
                         slot.sizeBytes.load(std::memory_order_relaxed),
                         slot.pieceBytes.load(std::memory_order_relaxed)))
        return false;
      // Both are read by this very thread.
      slot.lost.store(true, std::memory_order_relaxed);
      lossCount.fetch_add(1, std::memory_order_relaxed);
      return true;
    }
  }
  return false;
}

FaultGuard::Slot* takeSlot() {
  std::lock_guard<std::mutex> guard(freeLock);
  if (!freeSlots) {
    Block* made = new Block;
    for (FaultGuard::Slot& slot : made->slots) {
      slot.nextFree = freeSlots;
      freeSlots = &slot;
    }
    made->next = blocks.load(std::memory_order_relaxed);
    // Release: pairs with the handler's acquire.
    blocks.store(made, std::memory_order_release);
  }
  FaultGuard::Slot* slot = freeSlots;
  freeSlots = slot->nextFree;
  return slot;
}

}  // namespace

FaultGuard::FaultGuard(void* begin, size_t sizeBytes, size_t pieceBytes) : slot_(takeSlot()) {
  static std::once_flag once;
  std::call_once(once, [] { addBusErrorHandler(onBusError); });
  slot_->lost.store(false, std::memory_order_relaxed);
  // Release: pair with the acquires in covers().
  slot_->begin.store(reinterpret_cast<uintptr_t>(begin), std::memory_order_release);
  slot_->sizeBytes.store(sizeBytes, std::memory_order_release);
  slot_->pieceBytes.store(pieceBytes, std::memory_order_relaxed);
  slot_->turns.fetch_add(1, std::memory_order_release);
}

FaultGuard::~FaultGuard() {
  slot_->turns.fetch_add(1, std::memory_order_relaxed);
  std::lock_guard<std::mutex> guard(freeLock);
  slot_->nextFree = freeSlots;
  freeSlots = slot_;
}

bool FaultGuard::lost() const {
  // The compiler must not move guest accesses beyond this load; the handler
  // runs on this thread, so that no more than a signal fence is needed.
  std::atomic_signal_fence(std::memory_order_seq_cst);
  return slot_->lost.load(std::memory_order_relaxed);
}

uint64_t FaultGuard::losses() {
  std::atomic_signal_fence(std::memory_order_seq_cst);  // as in lost()
  return lossCount.load(std::memory_order_relaxed);
}

}  // namespace tmemd
