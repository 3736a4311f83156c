// A detached thread an errand.
#include "napi/errand.h"

#include <pthread.h>
#include <signal.h>

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

namespace tmemd::binding {
namespace {

// Runs `body` on a new thread that takes no signals. Throws std::system_error.
void detach(std::function<void()> body) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    std::thread([body = std::move(body)] {
      pthread_setname_np(pthread_self(), "tmemd-errand");
      body();
    }).detach();
  } catch (...) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

// The thread for errands when no other can be had: there from the first errand on, and for all of them in turn.
class Standby {
 public:
  Standby() {
    detach([this] { run(); });
  }

  void add(std::function<void()> work) {
    {
      std::lock_guard lock(lock_);
      waiting_.push_back(std::move(work));
    }
    added_.notify_one();
  }

 private:
  void run() {
    for (;;) {
      std::unique_lock lock(lock_);
      added_.wait(lock, [this] { return !waiting_.empty(); });
      const std::function<void()> work = std::move(waiting_.front());
      waiting_.pop_front();
      lock.unlock();
      work();
    }
  }

  std::mutex lock_;
  std::condition_variable added_;
  std::deque<std::function<void()>> waiting_;
};

}  // namespace

void runErrand(MainThread& mainThread, std::function<void()> work, MainThread::Closure done) {
  static Standby& standby = *new Standby;  // its thread outlives everything
  auto errand = [work = std::move(work), done = std::move(done), door = mainThread.door()]() mutable {
    work();
    work = {};  // what it held goes here, not on the JavaScript thread
    if (done) MainThread::post(*door, std::move(done));
  };
  // Both ways of running need a copy, of which one is used.
  auto shared = std::make_shared<decltype(errand)>(std::move(errand));
  try {
    detach([shared] { (*shared)(); });
  } catch (const std::system_error&) {
    standby.add([shared] { (*shared)(); });
  }
}

void closeElsewhere(MainThread& mainThread, std::vector<OwnedFd> fds, MainThread::Closure done) {
  auto shared = std::make_shared<std::vector<OwnedFd>>(std::move(fds));
  runErrand(mainThread, [shared] { shared->clear(); }, std::move(done));
}

}  // namespace tmemd::binding
