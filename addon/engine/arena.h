// The shared-memory file all page data lives in, mapped once. Untouched and
// punched ranges cost no memory. Kept out of core dumps.
#ifndef TMEMD_ENGINE_ARENA_H_
#define TMEMD_ENGINE_ARENA_H_

#include <cstddef>
#include <cstdint>

namespace tmemd {

class Arena {
 public:
  explicit Arena(uint64_t sizeBytes);  // throws std::system_error
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  std::byte* at(uint64_t offset) const { return base_ + offset; }
  uint64_t sizeBytes() const { return sizeBytes_; }
  int fd() const { return fd_; }

  // Gives the range back to the host; it reads as zeros from then on.
  void punch(uint64_t offset, uint64_t lengthBytes);
  // Takes the page faults of a range now.
  void populate(uint64_t offset, uint64_t lengthBytes);

 private:
  int fd_ = -1;
  std::byte* base_ = nullptr;
  uint64_t sizeBytes_ = 0;
};

}  // namespace tmemd

#endif  // TMEMD_ENGINE_ARENA_H_
