#include "engine/arena_loss.h"

#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <mutex>

#include "engine/bus_error.h"

namespace tmemd {

namespace {

// free: sizeBytes is 0.
struct Watched {
  std::atomic<uintptr_t> begin{0};
  std::atomic<size_t> sizeBytes{0};
  std::atomic<int> fd{-1};
};
Watched watched[ArenaLoss::kWatchedMax];
std::mutex changing;

// One line, in one write, with nothing that a signal handler may not call.
class Line {
 public:
  Line& operator<<(const char* text) {
    size_t bytes = std::strlen(text);
    if (bytes > sizeof text_ - used_) bytes = sizeof text_ - used_;
    std::memcpy(text_ + used_, text, bytes);
    used_ += bytes;
    return *this;
  }
  Line& operator<<(uint64_t number) {
    char digits[21] = {};
    char* at = digits + sizeof digits - 1;
    do {
      *--at = static_cast<char>('0' + number % 10);
      number /= 10;
    } while (number > 0);
    return *this << at;
  }
  void write() const {
    // Whoever does not read it will see the exit status.
    [[maybe_unused]] ssize_t written = ::write(STDERR_FILENO, text_, used_);
  }

 private:
  char text_[256];
  size_t used_ = 0;
};

[[noreturn]] void end(const Watched& arena) {
  const uint64_t needed = arena.sizeBytes.load(std::memory_order_relaxed);
  struct stat status;
  Line line;
  if (fstat(arena.fd.load(std::memory_order_relaxed), &status) == 0 &&
      static_cast<uint64_t>(status.st_size) < needed) {
    line << "tmemd: arena: its file was cut to " << static_cast<uint64_t>(status.st_size) << " of " << needed
         << " bytes while in use; the pages that lay behind are lost\n";
  } else {
    line << "tmemd: arena: no memory for its file of " << needed
         << " bytes: its file system is full; give that as much room as the arena\n";
  }
  line.write();
  _exit(ArenaLoss::kExitStatus);
}

bool onBusError(uintptr_t address) {
  for (const Watched& arena : watched) {
    // acquire pairs with the release of the constructor.
    const size_t sizeBytes = arena.sizeBytes.load(std::memory_order_acquire);
    const uintptr_t begin = arena.begin.load(std::memory_order_relaxed);
    if (address >= begin && address - begin < sizeBytes) end(arena);
  }
  return false;
}

}  // namespace

ArenaLoss::ArenaLoss(const void* begin, size_t sizeBytes, int fd) {
  static std::once_flag once;
  std::call_once(once, [] { addBusErrorHandler(onBusError); });
  std::lock_guard<std::mutex> guard(changing);
  for (slot_ = 0; slot_ < kWatchedMax && watched[slot_].sizeBytes.load(std::memory_order_relaxed); slot_++) {
  }
  if (slot_ == kWatchedMax) return;
  watched[slot_].begin.store(reinterpret_cast<uintptr_t>(begin), std::memory_order_relaxed);
  watched[slot_].fd.store(fd, std::memory_order_relaxed);
  watched[slot_].sizeBytes.store(sizeBytes, std::memory_order_release);
}

ArenaLoss::~ArenaLoss() {
  std::lock_guard<std::mutex> guard(changing);
  if (slot_ < kWatchedMax) watched[slot_].sizeBytes.store(0, std::memory_order_release);
}

}  // namespace tmemd
