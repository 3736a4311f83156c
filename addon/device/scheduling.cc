// What the kernel is asked for, and how it is told whether processors are free.
#include "device/scheduling.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>

namespace tmemd {
namespace {

// struct sched_attr of linux/sched/types.h, which glibc's headers clash with.
struct SchedulingAttributes {
  uint32_t sizeBytes = sizeof(SchedulingAttributes);
  uint32_t policy = 0;
  uint64_t flags = 0;
  int32_t nice = 0;
  uint32_t priority = 0;
  uint64_t runtimeNs = 0;
  uint64_t deadlineNs = 0;
  uint64_t periodNs = 0;
};
static_assert(sizeof(SchedulingAttributes) == 48);

// The shortest slice EEVDF grants (Linux 6.12 and later; earlier kernels ignore it).
constexpr uint64_t kShortSliceNs = 100'000;

std::atomic<int> awakeWorkers{0};

int onlineProcessors() {
  static const int count = [] {
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
  }();
  return count;
}

// Threads running or ready to run on the machine: the part before the slash in
// the fourth field of /proc/loadavg. 0 when it cannot be read.
int readRunnableThreads() {
  static const int fd = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
  char text[128];
  const ssize_t length = fd < 0 ? -1 : pread(fd, text, sizeof text - 1, 0);
  if (length <= 0) return 0;
  text[length] = '\0';
  int runnable = 0;
  return sscanf(text, "%*s %*s %*s %d/", &runnable) == 1 ? runnable : 0;
}

// Reading costs some microseconds, so that all workers share a reading for a while.
int runnableThreads(uint64_t now) {
  constexpr uint64_t kValidNs = 2'000'000;
  // Relaxed: a stale or repeated reading does no harm.
  static std::atomic<uint64_t> readAtNs{0};
  static std::atomic<int> reading{0};
  uint64_t before = readAtNs.load(std::memory_order_relaxed);
  if (now - before >= kValidNs && readAtNs.compare_exchange_strong(before, now, std::memory_order_relaxed))
    reading.store(readRunnableThreads(), std::memory_order_relaxed);
  return reading.load(std::memory_order_relaxed);
}

}  // namespace

LatencyClass requestLowLatency(std::string& refusal) {
  sched_param parameters = {};
  parameters.sched_priority = sched_get_priority_min(SCHED_RR);
  const int error = pthread_setschedparam(pthread_self(), SCHED_RR | SCHED_RESET_ON_FORK, &parameters);
  if (error == 0) return LatencyClass::kRoundRobin;
  refusal = std::string("SCHED_RR: ") + strerror(error);

  SchedulingAttributes attributes;
  attributes.runtimeNs = kShortSliceNs;
  if (syscall(SYS_sched_setattr, 0, &attributes, 0) == 0) return LatencyClass::kShortSlice;
  refusal += std::string("; time slice of 100 us: ") + strerror(errno);
  return LatencyClass::kDefault;
}

uint64_t PollWindow::lengthNs(uint64_t now) {
  constexpr uint64_t kWorthwhileNs = 5'000;
  if (windowNs_ < kWorthwhileNs) return 0;
  const int processors = onlineProcessors();
  // Relaxed: a hint.
  if (awakeWorkers.load(std::memory_order_relaxed) > processors) return 0;
  return runnableThreads(now) > processors ? 0 : windowNs_;
}

AwakeWorker::AwakeWorker() { awakeWorkers.fetch_add(1, std::memory_order_relaxed); }
AwakeWorker::~AwakeWorker() { awakeWorkers.fetch_sub(1, std::memory_order_relaxed); }

}  // namespace tmemd
