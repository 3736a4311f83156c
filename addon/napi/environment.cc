// Set-up and teardown of what an environment shares.
#include "napi/environment.h"

namespace tmemd::binding {

std::shared_ptr<Environment> Environment::create(Napi::Env env) {
  auto environment = std::make_shared<Environment>(env);
  env.SetInstanceData(new std::shared_ptr<Environment>(environment));
  // Hooks run last first: this one before the thread-safe function's own.
  env.AddCleanupHook([environment] { environment->stopAll(); });
  return environment;
}

std::shared_ptr<Environment> Environment::of(Napi::Env env) {
  return *env.GetInstanceData<std::shared_ptr<Environment>>();
}

void Environment::stopAll() {
  readiness.stopAndJoin();
  for (Stoppable* stoppable : stoppables) stoppable->stopAndJoin();
  stoppables.clear();
  storeConstructor.Reset();
  connectionConstructor.Reset();
  listenerConstructor.Reset();
  mainThread.close();
}

}  // namespace tmemd::binding
