// The addon: what src/native/addon.ts types as NativeAddon.
#include <napi.h>
#include <unistd.h>

#include <climits>

#include "engine/store.h"
#include "napi/arguments.h"
#include "napi/connection_binding.h"
#include "napi/device_binding.h"
#include "napi/environment.h"
#include "napi/listener_binding.h"
#include "napi/store_binding.h"
#include "napi/unix_sockets.h"
#include "napi/wire_constants.h"

namespace tmemd::binding {
namespace {

void closeFd(const Napi::CallbackInfo& info) { takeFd(info[0], "fd").close(); }

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
  exports.Set("closeFd", Napi::Function::New<closeFd>(env, "closeFd"));
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
