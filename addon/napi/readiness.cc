// The epoll thread.
#include "napi/readiness.h"

#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <cerrno>
#include <iterator>
#include <system_error>
#include <utility>

namespace tmemd::binding {
namespace {

constexpr Readiness::Id kStop = 0;

void control(const OwnedFd& epoll, int operation, int fd, uint32_t events, Readiness::Id id) {
  epoll_event event = {};
  event.events = events;
  event.data.u64 = id;
  if (epoll_ctl(epoll.get(), operation, fd, &event) != 0)
    throw std::system_error(errno, std::generic_category(), "epoll_ctl");
}

OwnedFd orThrow(int fd, const char* what) {
  if (fd < 0) throw std::system_error(errno, std::generic_category(), what);
  return OwnedFd(fd);
}

}  // namespace

void Readiness::start() {
  if (thread_.joinable()) return;
  epoll_ = orThrow(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  stop_ = orThrow(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd");
  control(epoll_, EPOLL_CTL_ADD, stop_.get(), EPOLLIN, kStop);
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Readiness::Id Readiness::watch(int fd, std::function<void()> onReady) {
  start();
  const Id id = ++lastId_;
  control(epoll_, EPOLL_CTL_ADD, fd, EPOLLONESHOT, id);
  watches_.emplace(id, Watch{fd, std::move(onReady)});
  return id;
}

void Readiness::arm(Id id, uint32_t events) {
  // Cannot fail for a descriptor that was added.
  control(epoll_, EPOLL_CTL_MOD, watches_.at(id).fd, events | EPOLLONESHOT, id);
}

void Readiness::forget(Id id) {
  const auto watch = watches_.find(id);
  if (watch == watches_.end()) return;
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, watch->second.fd, nullptr);
  watches_.erase(watch);
}

void Readiness::run() {
  pthread_setname_np(pthread_self(), "tmemd-sockets");
  for (;;) {
    epoll_event events[32];
    const int count = epoll_wait(epoll_.get(), events, std::size(events), -1);
    for (int i = 0; i < count; ++i) {
      const Id id = events[i].data.u64;
      if (id == kStop) return;
      mainThread_.post([this, id](Napi::Env) { fire(id); });
    }
  }
}

void Readiness::fire(Id id) {
  // Forgotten since: not an error.
  const auto watch = watches_.find(id);
  if (watch == watches_.end()) return;
  const auto onReady = watch->second.onReady;  // which may forget itself
  onReady();
}

void Readiness::stopAndJoin() {
  if (!thread_.joinable()) return;
  eventfd_write(stop_.get(), 1);
  thread_.join();
}

}  // namespace tmemd::binding
