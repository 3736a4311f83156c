// What one Node.js environment (the main thread or a worker_threads Worker)
// shares between its native objects.
//
// Every wrapped object holds the Environment. When the Node environment ends,
// a cleanup hook stops and joins every thread, before Node takes away what
// they use to reach the JavaScript thread.
#ifndef TMEMD_NAPI_ENVIRONMENT_H_
#define TMEMD_NAPI_ENVIRONMENT_H_

#include <napi.h>

#include <memory>
#include <unordered_set>

#include "napi/main_thread.h"
#include "napi/readiness.h"

namespace tmemd::binding {

// Something that owns a thread.
class Stoppable {
 public:
  virtual void stopAndJoin() = 0;

 protected:
  ~Stoppable() = default;
};

struct Environment {
  explicit Environment(Napi::Env env) : mainThread(env), readiness(mainThread) {}

  static std::shared_ptr<Environment> create(Napi::Env env);
  static std::shared_ptr<Environment> of(Napi::Env env);

  void stopAll();

  MainThread mainThread;
  Readiness readiness;
  std::unordered_set<Stoppable*> stoppables;
  Napi::FunctionReference storeConstructor;
  Napi::FunctionReference connectionConstructor;
  Napi::FunctionReference listenerConstructor;
};

}  // namespace tmemd::binding

#endif  // TMEMD_NAPI_ENVIRONMENT_H_
