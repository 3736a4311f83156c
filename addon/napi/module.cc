// The addon: what src/native/addon.ts types as NativeAddon.
#include <napi.h>

#include <climits>
#include <cstdint>
#include <utility>
#include <vector>

#include "engine/store.h"
#include "napi/arguments.h"
#include "napi/connection_binding.h"
#include "napi/device_binding.h"
#include "napi/environment.h"
#include "napi/errand.h"
#include "napi/listener_binding.h"
#include "napi/store_binding.h"
#include "napi/unix_sockets.h"
#include "napi/wire_constants.h"
#include "peer/descriptor_kind.h"

namespace tmemd::binding {
namespace {

Napi::Value closeFds(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsArray()) throw argumentError(env, "fds", "an array of descriptors");
  const Napi::Array from = info[0].As<Napi::Array>();
  std::vector<OwnedFd> fds;
  for (uint32_t i = 0; i < from.Length(); ++i) fds.push_back(takeFd(from.Get(i), "fds"));
  const Napi::Promise::Deferred deferred(env);
  closeElsewhere(Environment::of(env)->mainThread, std::move(fds),
                 [deferred](Napi::Env callEnv) { deferred.Resolve(callEnv.Undefined()); });
  return deferred.Promise();
}

Napi::Value descriptorKind(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  switch (kindOf(static_cast<int>(asInteger(info[0], "fd", 0, INT_MAX)))) {
    case DescriptorKind::kEventFd:
      return Napi::String::New(env, "eventfd");
    case DescriptorKind::kUnixStream:
      return Napi::String::New(env, "unix-stream");
    case DescriptorKind::kOther:
      break;
  }
  return Napi::String::New(env, "other");
}

Napi::Value minimumCapacityBytes(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(Store::minimumCapacityBytes()));
}

Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  const std::shared_ptr<Environment> environment = Environment::create(env);
  const Napi::Function store = StoreBinding::define(env);
  environment->storeConstructor = Napi::Persistent(store);
  environment->connectionConstructor = Napi::Persistent(ConnectionBinding::define(env));
  environment->listenerConstructor = Napi::Persistent(ListenerBinding::define(env));
  exports.Set("Store", store);
  exports.Set("Device", DeviceBinding::define(env));
  exports.Set("listenUnix", Napi::Function::New<listenUnix>(env, "listenUnix"));
  exports.Set("connectUnix", Napi::Function::New<connectUnix>(env, "connectUnix"));
  exports.Set("adoptSocket", Napi::Function::New<adoptSocket>(env, "adoptSocket"));
  exports.Set("closeFds", Napi::Function::New<closeFds>(env, "closeFds"));
  exports.Set("descriptorKind", Napi::Function::New<descriptorKind>(env, "descriptorKind"));
  exports.Set("minimumCapacityBytes", Napi::Function::New<minimumCapacityBytes>(env, "minimumCapacityBytes"));
  exports.Set("wireConstants", Napi::Function::New<wireConstants>(env, "wireConstants"));
  return exports;
}

}  // namespace
}  // namespace tmemd::binding

static Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  return tmemd::binding::initialise(env, exports);
}

NODE_API_MODULE(tmemd, initialise)
