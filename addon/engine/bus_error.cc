#include "engine/bus_error.h"

#include <signal.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <mutex>

namespace tmemd {

namespace {

std::atomic<BusErrorHandler> handlers[kBusErrorHandlersMax];
struct sigaction previousAction;

void passOn(int signal, siginfo_t* info, void* context) {
  if (previousAction.sa_flags & SA_SIGINFO) {
    previousAction.sa_sigaction(signal, info, context);
  } else if (previousAction.sa_handler == SIG_DFL || previousAction.sa_handler == SIG_IGN) {
    // Returning faults again, and that ends the process as it would have.
    struct sigaction fatal = {};
    fatal.sa_handler = SIG_DFL;
    sigaction(SIGBUS, &fatal, nullptr);
  } else {
    previousAction.sa_handler(signal);
  }
}

void onBusError(int signal, siginfo_t* info, void* context) {
  const int errnoBefore = errno;
  for (const std::atomic<BusErrorHandler>& handler : handlers) {
    // acquire pairs with the release of who added it.
    BusErrorHandler asked = handler.load(std::memory_order_acquire);
    if (!asked || !asked(reinterpret_cast<uintptr_t>(info->si_addr))) continue;
    errno = errnoBefore;
    return;
  }
  passOn(signal, info, context);
}

}  // namespace

void addBusErrorHandler(BusErrorHandler handler) {
  static std::mutex adding;
  std::lock_guard<std::mutex> guard(adding);
  int position = 0;
  while (position < kBusErrorHandlersMax && handlers[position].load(std::memory_order_relaxed)) position++;
  if (position == kBusErrorHandlersMax) std::abort();
  handlers[position].store(handler, std::memory_order_release);
  if (position > 0) return;
  struct sigaction action = {};
  action.sa_sigaction = onBusError;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  sigaction(SIGBUS, &action, &previousAction);
}

}  // namespace tmemd
