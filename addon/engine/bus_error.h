// Who is asked when an access to mapped memory fails (SIGBUS): those that mapped it, one after the
// other. What is nobody's goes to the handler that was there before, or ends the process as ever.
#ifndef TMEMD_ENGINE_BUS_ERROR_H_
#define TMEMD_ENGINE_BUS_ERROR_H_

#include <cstdint>

namespace tmemd {

// True when the access can be made again. Async-signal-safe: atomics and system calls only.
using BusErrorHandler = bool (*)(uintptr_t address);

// From any thread; asked from then on, until the process ends. Of kBusErrorHandlersMax at most.
void addBusErrorHandler(BusErrorHandler handler);

inline constexpr int kBusErrorHandlersMax = 4;

}  // namespace tmemd

#endif  // TMEMD_ENGINE_BUS_ERROR_H_
