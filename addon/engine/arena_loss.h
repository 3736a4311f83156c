// What ends the process when memory of an arena cannot be had: its file system is full, or its file was
// cut. Pages are lost then, or would be with the next put, so nothing goes on; one line on stderr says why.
#ifndef TMEMD_ENGINE_ARENA_LOSS_H_
#define TMEMD_ENGINE_ARENA_LOSS_H_

#include <cstddef>

namespace tmemd {

class ArenaLoss {
 public:
  // Watches mapped memory of the file `fd`, which stays the caller's. Of more than kWatchedMax at once
  // the others end the process without the line.
  ArenaLoss(const void* begin, size_t sizeBytes, int fd);
  ~ArenaLoss();
  ArenaLoss(const ArenaLoss&) = delete;
  ArenaLoss& operator=(const ArenaLoss&) = delete;

  static constexpr size_t kWatchedMax = 64;
  static constexpr int kExitStatus = 1;

 private:
  size_t slot_;
};

}  // namespace tmemd

#endif  // TMEMD_ENGINE_ARENA_LOSS_H_
