// A non-blocking socket, watched for readiness until it is closed. The closing is an errand: descriptors that a
// peer sent and nobody received lie in its queue, and are closed with it.
#ifndef TMEMD_NAPI_WATCHED_SOCKET_H_
#define TMEMD_NAPI_WATCHED_SOCKET_H_

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "device/owned_fd.h"
#include "napi/environment.h"
#include "napi/errand.h"

namespace tmemd::binding {

class WatchedSocket {
 public:
  // Throws std::system_error.
  WatchedSocket(std::shared_ptr<Environment> environment, OwnedFd fd, std::function<void()> onReady)
      : environment_(std::move(environment)),
        fd_(std::move(fd)),
        watch_(environment_->readiness.watch(fd_.get(), std::move(onReady))) {}
  ~WatchedSocket() { close({}); }
  WatchedSocket(const WatchedSocket&) = delete;
  WatchedSocket& operator=(const WatchedSocket&) = delete;

  // `done` runs on the JavaScript thread when the socket and `others` are closed. Idempotent.
  void close(MainThread::Closure done, std::vector<OwnedFd> others = {}) {
    if (!fd_) return;
    environment_->readiness.forget(watch_);
    others.push_back(std::move(fd_));
    closeElsewhere(environment_->mainThread, std::move(others), std::move(done));
  }

  int fd() const { return fd_.get(); }
  // EPOLLIN, EPOLLOUT or both; fires once.
  void arm(uint32_t events) { environment_->readiness.arm(watch_, events); }
  // Around each operation that waits: the process stays alive meanwhile.
  void hold() { environment_->mainThread.hold(); }
  void release() { environment_->mainThread.release(); }

 private:
  const std::shared_ptr<Environment> environment_;
  OwnedFd fd_;
  const Readiness::Id watch_;
};

}  // namespace tmemd::binding

#endif  // TMEMD_NAPI_WATCHED_SOCKET_H_
