// The table of guards and the SIGBUS handler that searches it.
#include "device/fault_guard.h"

#include <signal.h>
#include <sys/mman.h>

#include <cstdint>
#include <mutex>

#include "device/front_end_error.h"

namespace tmemd {

// free -> claimed (filled in) -> live -> free
struct FaultGuard::Slot {
  enum State : uint32_t { kFree, kClaimed, kLive };
  std::atomic<uint32_t> state{kFree};
  std::atomic<bool> lost{false};
  std::atomic<uintptr_t> begin{0};
  std::atomic<size_t> sizeBytes{0};
};

namespace {

FaultGuard::Slot slots[FaultGuard::kMaxGuards];
std::atomic<size_t> slotsUsed{0};  // slots at and beyond this were never claimed
struct sigaction previousAction;

void passOn(int signal, siginfo_t* info, void* context) {
  if (previousAction.sa_flags & SA_SIGINFO) {
    previousAction.sa_sigaction(signal, info, context);
  } else if (previousAction.sa_handler == SIG_DFL || previousAction.sa_handler == SIG_IGN) {
    // Returning faults again, and that kills the process as it would have.
    struct sigaction fatal = {};
    fatal.sa_handler = SIG_DFL;
    sigaction(SIGBUS, &fatal, nullptr);
  } else {
    previousAction.sa_handler(signal);
  }
}

// Async-signal-safe: atomics and system calls only.
void onBusError(int signal, siginfo_t* info, void* context) {
  const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
  // Acquire: pairs with the release in FaultGuard's constructor.
  const size_t used = slotsUsed.load(std::memory_order_acquire);
  for (size_t i = 0; i < used; ++i) {
    FaultGuard::Slot& slot = slots[i];
    // Acquire: pairs with the release that made the slot live.
    if (slot.state.load(std::memory_order_acquire) != FaultGuard::Slot::kLive) continue;
    const uintptr_t begin = slot.begin.load(std::memory_order_relaxed);
    const size_t sizeBytes = slot.sizeBytes.load(std::memory_order_relaxed);
    if (address < begin || address - begin >= sizeBytes) continue;
    void* mapped = mmap(reinterpret_cast<void*>(begin), sizeBytes, PROT_READ | PROT_WRITE,
                        MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) break;
    slot.lost.store(true, std::memory_order_relaxed);  // read by this very thread
    return;
  }
  passOn(signal, info, context);
}

void installHandler() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action = {};
    action.sa_sigaction = onBusError;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, &previousAction);
  });
}

}  // namespace

FaultGuard::FaultGuard(void* begin, size_t sizeBytes) : slot_(nullptr) {
  installHandler();
  for (size_t i = 0; i < kMaxGuards; ++i) {
    uint32_t expected = Slot::kFree;
    // Acquire: pairs with the release of the guard that freed the slot.
    if (!slots[i].state.compare_exchange_strong(expected, Slot::kClaimed, std::memory_order_acquire))
      continue;
    slot_ = &slots[i];
    size_t used = slotsUsed.load(std::memory_order_relaxed);
    // Release: pairs with the handler's acquire of slotsUsed.
    while (used < i + 1 && !slotsUsed.compare_exchange_weak(used, i + 1, std::memory_order_release)) {
    }
    break;
  }
  if (!slot_) throw FrontEndError("more than 4096 memory regions are mapped in this process");
  slot_->lost.store(false, std::memory_order_relaxed);
  slot_->begin.store(reinterpret_cast<uintptr_t>(begin), std::memory_order_relaxed);
  slot_->sizeBytes.store(sizeBytes, std::memory_order_relaxed);
  // Release: pairs with the handler's acquire of state.
  slot_->state.store(Slot::kLive, std::memory_order_release);
}

FaultGuard::~FaultGuard() {
  // Release: pairs with the next claimer's acquire.
  slot_->state.store(Slot::kFree, std::memory_order_release);
}

bool FaultGuard::lost() const {
  // The compiler must not move guest accesses beyond this load; the handler
  // runs on this thread, so that no more than a signal fence is needed.
  std::atomic_signal_fence(std::memory_order_seq_cst);
  return slot_->lost.load(std::memory_order_relaxed);
}

}  // namespace tmemd
