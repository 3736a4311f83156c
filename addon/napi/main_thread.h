// Runs closures on the JavaScript thread, from any other.
//
// hold() and release() count what is in progress: the process stays alive
// while anything is. Everything but post() is the JavaScript thread's.
#ifndef TMEMD_NAPI_MAIN_THREAD_H_
#define TMEMD_NAPI_MAIN_THREAD_H_

#include <napi.h>

#include <functional>

namespace tmemd::binding {

class MainThread {
 public:
  using Closure = std::function<void(Napi::Env)>;

  explicit MainThread(Napi::Env env);
  MainThread(const MainThread&) = delete;
  MainThread& operator=(const MainThread&) = delete;

  // Closures run in the order posted; not at all once the environment ends.
  void post(Closure closure);

  void hold();
  void release();

  // No thread may post any more.
  void close();

 private:
  Napi::Env env_;
  napi_threadsafe_function function_ = nullptr;
  unsigned holds_ = 0;
};

}  // namespace tmemd::binding

#endif  // TMEMD_NAPI_MAIN_THREAD_H_
