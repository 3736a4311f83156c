// The serving loop, and the commands that change what it serves.
#include "device/worker.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>
#include <system_error>

namespace tmemd {
namespace {

constexpr uint64_t kMailboxToken = ~uint64_t{0};
constexpr int kPollIntervalMs = 1;  // of rings without a kick descriptor

OwnedFd orThrow(int fd, const char* what) {
  if (fd < 0) throw std::system_error(errno, std::generic_category(), what);
  return OwnedFd(fd);
}

// The front end's eventfds are shared with it; a blocking one could hold the worker up.
void setNonBlocking(const OwnedFd& fd) {
  const int flags = fcntl(fd.get(), F_GETFL);
  if (flags >= 0) fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK);
}

// A signal whose only effect is that a blocking system call of the thread it is sent to fails with EINTR.
int interruptSignal() { return SIGRTMIN + 6; }

void installInterruptSignal() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action = {};
    action.sa_handler = [](int) {};
    sigaction(interruptSignal(), &action, nullptr);
  });
}

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

Worker::Worker(std::shared_ptr<Store> store, GuestId guest, DeviceOptions options)
    : store_(std::move(store)),
      onEvent_(std::move(options.onEvent)),
      epoll_(orThrow(epoll_create1(EPOLL_CLOEXEC), "epoll_create1")),
      wake_(orThrow(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")),
      pageRequests_(*store_, guest, context_, options.maxPagesPerRequest, counters_),
      controlRequests_(
          *store_, guest, pageRequests_, counters_,
          {[this] { return drainPageQueues(); }, [this] { emit(DeviceEvent::Type::kSessionOpened, 0, {}); },
           [this] { emit(DeviceEvent::Type::kDriverAsks, 0, {}); }}),
      blkRequests_(options.disk ? makeBlkRequests(guest, std::move(*options.disk)) : nullptr),
      memory_(std::make_shared<GuestMemory>()),
      queues_(options.queueCount) {
  for (uint16_t i = 0; i < options.queueCount; ++i) queues_[i].index = i;
  if (std::string problem = watch(wake_, kMailboxToken); !problem.empty())
    throw std::system_error(errno, std::generic_category(), "epoll_ctl");
  // Signals are the main thread's business; SIGBUS is raised by the thread itself.
  installInterruptSignal();
  sigset_t all, before;
  sigfillset(&all);
  sigdelset(&all, SIGBUS);
  sigdelset(&all, SIGSEGV);
  sigdelset(&all, interruptSignal());
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] {
    run();
    left_.release();
  });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

std::unique_ptr<BlkRequests> Worker::makeBlkRequests(GuestId guest, DiskOptions disk) {
  BlkRequests::Hooks hooks;
  hooks.everyRingBeganAtZero = [this] {
    return std::all_of(queues_.begin(), queues_.begin() + queuesInUse_,
                       [](const Queue& queue) { return !queue.started || queue.beganAtZero; });
  };
  hooks.lifeBegun = [this] { emit(DeviceEvent::Type::kSessionOpened, 0, {}); };
  hooks.lifeLost = [this] {
    emit(DeviceEvent::Type::kDiskLost, 0, "the guest goes on with a disk that this service never had");
  };
  return std::make_unique<BlkRequests>(*store_, guest, context_, std::move(disk), counters_, std::move(hooks));
}

Worker::~Worker() {
  stop({});
  // Again and again: a signal may come just before the call that it is to end.
  while (!left_.try_acquire_for(std::chrono::milliseconds(10))) interrupt();
  thread_.join();
}

// Ends a write to a call descriptor that the front end, which shares its description, made blocking and full.
void Worker::interrupt() { pthread_kill(thread_.native_handle(), interruptSignal()); }

void Worker::post(Command command) {
  bool ending;
  {
    std::lock_guard lock(mailboxLock_);
    ending = stopAsked_;
    if (!ending) {
      mailbox_.push_back(std::move(command));
      // Release: pairs with the acquire in run(); the lock orders the contents.
      mailboxFull_.store(true, std::memory_order_release);
    }
  }
  if (ending) {
    command.done({"the device is closed"});
  } else {
    eventfd_write(wake_.get(), 1);
  }
}

void Worker::stop(std::function<void()> ended) {
  {
    std::lock_guard lock(mailboxLock_);
    if (stopAsked_) return;
    stopAsked_ = true;
    ended_ = std::move(ended);
    mailboxFull_.store(true, std::memory_order_release);
  }
  eventfd_write(wake_.get(), 1);
  interrupt();
}

void Worker::run() {
  pthread_setname_np(pthread_self(), "tmemd-worker");
  std::string refusal;
  const LatencyClass got = requestLowLatency(refusal);
  if (got != LatencyClass::kRoundRobin)
    emit(DeviceEvent::Type::kSchedulingRefused, 0,
         refusal +
             (got == LatencyClass::kShortSlice ? "; runs with a short time slice" : "; runs as any thread"));

  RealTimeTurns turns(got == LatencyClass::kRoundRobin);
  std::optional<AwakeWorker> awake(std::in_place);
  uint64_t idleSinceNs = 0;  // 0: not idle
  for (;;) {
    // Acquire: pairs with the release in post() and stop().
    if (mailboxFull_.load(std::memory_order_acquire) && !runCommands()) break;
    if (serveRings()) {
      if (idleSinceNs != 0) pollWindow_.foundSoon();
      idleSinceNs = 0;
      turns.worked();
      continue;
    }
    const uint64_t now = nowNs();
    if (idleSinceNs == 0) idleSinceNs = now;
    const uint64_t windowNs = pollWindow_.lengthNs(now, store_->backgroundAwake() ? 1 : 0);
    if (now - idleSinceNs < windowNs) {
      relax();
      continue;
    }
    if (windowNs != 0) pollWindow_.passed();
    if (!allowKicks()) {
      awake.reset();
      turns.sleeps();
      sleep();
      awake.emplace();
      if (nowNs() - now < PollWindow::kMaxNs) pollWindow_.foundSoon();
    }
    suppressKicks();
    idleSinceNs = 0;
  }

  for (Queue& queue : queuesInUse()) {
    if (queue.started) stopVring(queue.index);
    setKick(queue.index, {});
    queue.call.close();
  }
  memory_.reset();
  std::function<void()> ended;
  {
    std::lock_guard lock(mailboxLock_);
    ended = std::move(ended_);
  }
  if (ended) ended();
}

// False when the thread is to end.
bool Worker::runCommands() {
  std::vector<Command> commands;
  bool ending;
  {
    std::lock_guard lock(mailboxLock_);
    commands.swap(mailbox_);
    ending = stopAsked_;
    mailboxFull_.store(false, std::memory_order_relaxed);  // under the lock
  }
  for (Command& command : commands) {
    const Outcome outcome = command.apply(*this);
    command.done(outcome);
  }
  return !ending;
}

// True when any chain was taken.
bool Worker::serveRings() {
  if (memoryLost_) return false;
  bool worked = false;
  for (Queue& queue : queuesInUse()) {
    // Relaxed: run() looks again, and acquires.
    if (mailboxFull_.load(std::memory_order_relaxed)) break;
    if (!queue.runs()) continue;
    if (queue.vring.knownAvailable() == 0 && !refresh(queue)) continue;
    worked = true;
    if (!serve(queue, kChainsPerRound)) return true;
  }
  return worked;
}

// False when guest memory is lost.
bool Worker::serve(Queue& queue, uint32_t maxChains) {
  const auto result = blkRequests_ ? blkRequests_->run(queue, *memory_, maxChains)
                      : queue.index == VIRTIO_TMEM_CONTROL_QUEUE
                          ? controlRequests_.run(queue, *memory_, maxChains)
                          : pageRequests_.run(queue, *memory_, maxChains);
  if (result == PageRequests::Result::kDone) return true;
  loseMemory();
  return false;
}

// True when chains are available.
bool Worker::refresh(Queue& queue) {
  queue.vring.loadAvailableIndex();
  if (queue.vring.broken()) breakQueue(queue, "available index more than the queue's size ahead");
  if (queue.vring.knownAvailable() == 0) return false;
  queue.everAvailable = true;
  return true;
}

bool Worker::drainPageQueues() {
  for (Queue& queue : queuesInUse()) {
    if (queue.index == VIRTIO_TMEM_CONTROL_QUEUE || !queue.runs()) continue;
    // What is available now was accepted before; at most a ring's size.
    refresh(queue);
    if (const uint16_t accepted = queue.vring.knownAvailable(); accepted != 0 && !serve(queue, accepted))
      return false;
  }
  return true;
}

// True when there is work after all.
bool Worker::allowKicks() {
  if (memoryLost_) return false;
  bool work = false;
  for (Queue& queue : queuesInUse()) {
    if (!queue.runs()) continue;
    work |= queue.vring.allowKicks();
    if (queue.vring.broken()) breakQueue(queue, "available index more than the queue's size ahead");
  }
  // A page of a ring itself may have been taken away.
  if (memory_->lost()) loseMemory();
  return work;
}

void Worker::suppressKicks() {
  for (Queue& queue : queuesInUse())
    if (queue.runs()) queue.vring.suppressKicks();
}

void Worker::sleep() {
  bool polled = false;
  for (const Queue& queue : queuesInUse()) polled |= queue.runs() && !queue.kick && !memoryLost_;
  // Edge-triggered: each write to an eventfd wakes once, so that it never needs to be read.
  epoll_event events[16];
  const int count = epoll_wait(epoll_.get(), events, std::size(events), polled ? kPollIntervalMs : -1);
  for (int i = 0; i < count; ++i) {
    if (events[i].data.u64 == kMailboxToken) continue;
    counters_.kicksTotal.add(1);
    noteKick(queues_[events[i].data.u64]);
  }
}

void Worker::noteKick(Queue& queue) {
  if (!queue.runs() || queue.everAvailable || refresh(queue)) return;
  if (++queue.silentKicks == Queue::kSilentKicks)
    emit(DeviceEvent::Type::kRingSilent, queue.index,
         "kicked again and again, but its ring stays empty: is the guest's memory shared (share=on)?");
}

void Worker::breakQueue(Queue& queue, std::string reason) {
  queue.broken = true;
  emit(DeviceEvent::Type::kQueueBroken, queue.index, std::move(reason));
}

void Worker::loseMemory() {
  if (std::exchange(memoryLost_, true)) return;
  emit(DeviceEvent::Type::kMemoryLost, 0, "the front end truncated a file of guest memory");
}

void Worker::emit(DeviceEvent::Type type, uint16_t queueIndex, std::string reason) {
  if (onEvent_) onEvent_({type, queueIndex, std::move(reason)});
}

std::string Worker::watch(const OwnedFd& fd, uint64_t token) {
  epoll_event event = {};
  event.events = EPOLLIN | EPOLLET;
  event.data.u64 = token;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd.get(), &event) == 0) return {};
  return std::string("cannot wait on the kick descriptor: ") + strerror(errno);
}

void Worker::unwatch(const OwnedFd& fd) { epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd.get(), nullptr); }

// --- commands ----------------------------------------------------------------

Outcome Worker::adoptMemory(std::shared_ptr<const GuestMemory> memory) {
  memory_ = std::move(memory);
  memoryLost_ = false;
  for (Queue& queue : queuesInUse()) {
    if (!queue.started || queue.broken) continue;
    if (std::string problem = queue.vring.relocate(*memory_); !problem.empty())
      breakQueue(queue, "after a change of the memory table: " + problem);
  }
  return {};
}

Outcome Worker::startVring(uint16_t index, VringSetup setup) {
  Queue& queue = queues_[index];
  if (queue.started) return {"queue " + std::to_string(index) + " is started already"};
  if (std::string problem = queue.vring.start(setup.layout, *memory_); !problem.empty())
    return {"queue " + std::to_string(index) + ": " + problem};
  if (Outcome outcome = setKick(index, std::move(setup.kick)); !outcome.error.empty()) return outcome;
  setCall(index, std::move(setup.call));
  queue.started = true;
  queuesInUse_ = std::max<uint16_t>(queuesInUse_, index + 1);
  queue.beganAtZero = setup.layout.lastAvailableIndex == 0 && queue.vring.consumedIndex() == 0;
  if (blkRequests_) {
    blkRequests_->ringStarted();
  } else if (index == VIRTIO_TMEM_CONTROL_QUEUE) {
    controlRequests_.ringStarted();
  }
  queue.broken = false;
  queue.silentKicks = 0;
  queue.everAvailable = false;
  queue.vring.suppressKicks();
  return {};
}

Outcome Worker::enableVring(uint16_t index, bool enabled) {
  queues_[index].enabled = enabled;
  return {};
}

Outcome Worker::setKick(uint16_t index, OwnedFd fd) {
  Queue& queue = queues_[index];
  if (queue.kick) {
    // Closing alone is not enough: the front end holds the same description.
    unwatch(queue.kick);
    queue.kick.close();
  }
  if (!fd) return {};
  if (std::string problem = watch(fd, index); !problem.empty()) return {problem};
  queue.kick = std::move(fd);
  return {};
}

Outcome Worker::setCall(uint16_t index, OwnedFd fd) {
  if (fd) setNonBlocking(fd);
  queues_[index].call = std::move(fd);
  return {};
}

Outcome Worker::stopVring(uint16_t index) {
  Queue& queue = queues_[index];
  if (!queue.started) return {"queue " + std::to_string(index) + " is not started"};
  queue.started = false;
  setKick(index, {});
  queue.call.close();
  return {{}, queue.vring.consumedIndex()};
}

}  // namespace tmemd
