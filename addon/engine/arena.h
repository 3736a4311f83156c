// The shared-memory file all page data lives in, mapped once. Untouched and
// punched ranges cost no memory. Kept out of core dumps. Memory that cannot be had ends the process
// (arena_loss.h).
#ifndef TMEMD_ENGINE_ARENA_H_
#define TMEMD_ENGINE_ARENA_H_

#include <cstddef>
#include <cstdint>
#include <optional>

#include "engine/arena_loss.h"

namespace tmemd {

class Arena {
 public:
  // A new one in the file `fd`, which must be empty, or with -1 in an anonymous
  // shared-memory file. The file is opened anew and locked, so that no two processes
  // use it at a time. Throws AttachError or std::system_error.
  Arena(int fd, uint64_t sizeBytes);
  // The one in the file `fd`, as large as that is. Likewise.
  explicit Arena(int fd);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  static constexpr uint64_t kHugeBytes = 2 << 20;

  std::byte* at(uint64_t offset) const { return base_ + offset; }
  uint64_t sizeBytes() const { return sizeBytes_; }

  // Gives the range back to the host; it reads as zeros from then on.
  void punch(uint64_t offset, uint64_t lengthBytes);
  // Takes the page faults of a range now.
  void populate(uint64_t offset, uint64_t lengthBytes);
  // Has a multiple of kHugeBytes, all of it in memory, copied into one huge page; what was
  // not in memory would be afterwards. Whoever touches it meanwhile waits.
  enum class HugeResult { kMade, kBusy, kNoMemory, kCannot };
  HugeResult makeHuge(uint64_t offset) const;
  // Calls visit(begin, end) for the ranges of [begin, end) that may hold anything but
  // zeros. Looking at the others would cost memory.
  template <typename Visit>
  void forEachFilled(uint64_t begin, uint64_t end, Visit visit) const {
    while (begin < end) {
      uint64_t from = nextFilled(begin);
      if (from >= end) return;
      uint64_t to = nextHole(from);
      visit(from, to < end ? to : end);
      begin = to;
    }
  }

 private:
  void openLocked(int fd);
  void map();
  uint64_t nextFilled(uint64_t offset) const;
  uint64_t nextHole(uint64_t offset) const;

  int fd_ = -1;
  std::byte* base_ = nullptr;
  uint64_t sizeBytes_ = 0;
  std::optional<ArenaLoss> loss_;
};

}  // namespace tmemd

#endif  // TMEMD_ENGINE_ARENA_H_
