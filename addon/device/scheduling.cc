// What the kernel is asked for, and how it is told whether processors are free.
#include "device/scheduling.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
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

FreeProcessors& freeProcessors() {
  static FreeProcessors free(onlineProcessors(), readRunnableThreads);
  return free;
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

bool setRealTime(bool realTime) {
  sched_param parameters = {};
  if (realTime) parameters.sched_priority = sched_get_priority_min(SCHED_RR);
  const int policy = realTime ? SCHED_RR : SCHED_OTHER;
  return pthread_setschedparam(pthread_self(), policy | SCHED_RESET_ON_FORK, &parameters) == 0;
}

bool RealTimeShare::mayBeRealTime(uint64_t nowNs, uint64_t processorNs, bool crowded) {
  if (nowNs < ordinaryUntilNs_) return false;
  if (ordinaryUntilNs_ != 0 || windowBeganNs_ == 0 || nowNs - windowBeganNs_ >= kWindowNs) {
    ordinaryUntilNs_ = 0;
    windowBeganNs_ = nowNs;
    processorThenNs_ = processorNs;
    return true;
  }
  if (!crowded || processorNs - processorThenNs_ < kMostNs) return true;
  ordinaryUntilNs_ = nowNs + kOrdinaryNs;
  return false;
}

void RealTimeTurns::look() {
  timespec at;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
  const uint64_t processorNs = static_cast<uint64_t>(at.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(at.tv_nsec);
  clock_gettime(CLOCK_MONOTONIC, &at);
  const uint64_t now = static_cast<uint64_t>(at.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(at.tv_nsec);
  become(share_.mayBeRealTime(now, processorNs, !freeProcessors().enough(now, 0)));
}

// Refused, it stays what it is for good.
void RealTimeTurns::become(bool realTime) {
  if (realTime == realTime_) return;
  granted_ = setRealTime(realTime);
  if (granted_) realTime_ = realTime;
}

bool FreeProcessors::enough(uint64_t nowNs, int waiting) {
  uint64_t due = dueNs_.load(std::memory_order_relaxed);
  if (nowNs >= due && dueNs_.compare_exchange_strong(due, nowNs + kTooManyValidNs, std::memory_order_relaxed)) {
    const int runnable = readRunnable_();
    runnable_.store(runnable, std::memory_order_relaxed);
    if (runnable - waiting <= processors_) dueNs_.store(nowNs + kEnoughValidNs, std::memory_order_relaxed);
  }
  return runnable_.load(std::memory_order_relaxed) - waiting <= processors_;
}

uint64_t PollWindow::lengthNs(uint64_t nowNs, int waiting) {
  constexpr uint64_t kWorthwhileNs = 5'000;
  if (windowNs_ < kWorthwhileNs) return 0;
  // Relaxed: a hint.
  if (awakeWorkers.load(std::memory_order_relaxed) > onlineProcessors()) return 0;
  return freeProcessors().enough(nowNs, waiting) ? windowNs_ : 0;
}

AwakeWorker::AwakeWorker() { awakeWorkers.fetch_add(1, std::memory_order_relaxed); }
AwakeWorker::~AwakeWorker() { awakeWorkers.fetch_sub(1, std::memory_order_relaxed); }

}  // namespace tmemd
