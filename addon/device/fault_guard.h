// Survives a front end that truncates memory it shares with us.
//
// Touching a page of a file mapping beyond the file's end raises SIGBUS. While
// a FaultGuard exists for a mapping, the process's SIGBUS handler puts
// anonymous memory over the whole mapping, or over the piece that was touched
// where so much is not to be had, marks the guard lost and lets the
// access go on; it reads zeros or scribbles on memory nobody sees. Whoever
// works on the mapping looks at lost() before it acts on what it read and
// before it says that it wrote.
//
// Threads. A mapping is touched by one thread at a time, and its guard is
// created and destroyed while no thread touches it; so the handler, which runs
// on the thread that faulted, never meets a guard that is being destroyed.
// The handler reads the registry without locks. It grows with the regions that are
// mapped, so that nobody can use up another's places; what bounds it is what bounds
// those (guest_memory.h).
#ifndef TMEMD_DEVICE_FAULT_GUARD_H_
#define TMEMD_DEVICE_FAULT_GUARD_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace tmemd {

class FaultGuard {
 public:
  // `begin` and `sizeBytes` are a mapping's own, multiples of `pieceBytes`: what can be mapped
  // by itself, which is a page of the file's kind.
  FaultGuard(void* begin, size_t sizeBytes, size_t pieceBytes);
  ~FaultGuard();
  FaultGuard(const FaultGuard&) = delete;
  FaultGuard& operator=(const FaultGuard&) = delete;

  bool lost() const;
  // How many mappings of the process were lost so far: while it stays, none that was sound is lost.
  static uint64_t losses();

  struct Slot;

 private:
  Slot* slot_;
};

}  // namespace tmemd

#endif  // TMEMD_DEVICE_FAULT_GUARD_H_
