// Tells the JavaScript thread when a socket can be read or written: one epoll
// thread for all sockets of an environment. The reading and writing itself is
// done on the JavaScript thread, without blocking; so a socket's state
// needs no lock.
//
// A watch is one-shot: armed, it fires once, and is armed again when the next
// operation has to wait. All methods are the JavaScript thread's.
#ifndef TMEMD_NAPI_READINESS_H_
#define TMEMD_NAPI_READINESS_H_

#include <cstdint>
#include <functional>
#include <thread>
#include <unordered_map>

#include "device/owned_fd.h"
#include "napi/main_thread.h"

namespace tmemd::binding {

class Readiness {
 public:
  using Id = uint64_t;  // never used twice

  explicit Readiness(MainThread& mainThread) : mainThread_(mainThread) {}

  // `onReady` runs on the JavaScript thread. Throws std::system_error.
  Id watch(int fd, std::function<void()> onReady);
  // `events` is EPOLLIN, EPOLLOUT or both.
  void arm(Id id, uint32_t events);
  // Before the descriptor is closed. onReady does not run any more.
  void forget(Id id);

  void stopAndJoin();

 private:
  struct Watch {
    int fd;
    std::function<void()> onReady;
  };

  void start();
  void run();
  void fire(Id id);

  MainThread& mainThread_;
  OwnedFd epoll_;
  OwnedFd stop_;  // eventfd: readable when the thread is to end
  std::thread thread_;
  std::unordered_map<Id, Watch> watches_;
  Id lastId_ = 0;
};

}  // namespace tmemd::binding

#endif  // TMEMD_NAPI_READINESS_H_
