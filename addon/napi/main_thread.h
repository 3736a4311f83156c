// Runs closures on the JavaScript thread, from any other.
//
// hold() and release() count what is in progress: the process stays alive
// while anything is. Everything but post() is the JavaScript thread's.
//
// The door is what a thread may keep that nobody can join: it outlives the
// environment, and what is posted through it then is dropped.
#ifndef TMEMD_NAPI_MAIN_THREAD_H_
#define TMEMD_NAPI_MAIN_THREAD_H_

#include <napi.h>

#include <functional>
#include <memory>
#include <mutex>
#include <utility>

namespace tmemd::binding {

class MainThread {
 public:
  using Closure = std::function<void(Napi::Env)>;

  struct Door {
    std::mutex lock;
    napi_threadsafe_function function = nullptr;  // null once closed; written by the JavaScript thread
  };

  explicit MainThread(Napi::Env env);
  MainThread(const MainThread&) = delete;
  MainThread& operator=(const MainThread&) = delete;

  // Closures run in the order posted; not at all once the environment ends.
  void post(Closure closure) { post(*door_, std::move(closure)); }
  static void post(Door& door, Closure closure);
  const std::shared_ptr<Door>& door() const { return door_; }

  void hold();
  void release();

  // What is posted from now on is dropped.
  void close();

 private:
  Napi::Env env_;
  const std::shared_ptr<Door> door_ = std::make_shared<Door>();
  unsigned holds_ = 0;
};

}  // namespace tmemd::binding

#endif  // TMEMD_NAPI_MAIN_THREAD_H_
