// The JavaScript class Store: NativeStore in src/native/addon.ts.
#ifndef TMEMD_NAPI_STORE_BINDING_H_
#define TMEMD_NAPI_STORE_BINDING_H_

#include <napi.h>

#include <memory>

#include "engine/store.h"
#include "napi/environment.h"

namespace tmemd::binding {

class StoreBinding : public Napi::ObjectWrap<StoreBinding> {
 public:
  static Napi::Function define(Napi::Env env);
  // Throws a TypeError unless `value` is a Store, an Error when it is closed.
  static std::shared_ptr<Store> unwrap(Napi::Value value, const char* name);

  explicit StoreBinding(const Napi::CallbackInfo& info);

 private:
  Napi::Value addGuest(const Napi::CallbackInfo& info);
  Napi::Value unclaimedGuests(const Napi::CallbackInfo& info);
  Napi::Value removeGuest(const Napi::CallbackInfo& info);
  void updateGuest(const Napi::CallbackInfo& info);
  Napi::Value dropPools(const Napi::CallbackInfo& info);
  Napi::Value counters(const Napi::CallbackInfo& info);
  Napi::Value guestCounters(const Napi::CallbackInfo& info);
  Napi::Value poolCounters(const Napi::CallbackInfo& info);
  Napi::Value checkInvariants(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  const std::shared_ptr<Store>& open(Napi::Env env) const;

  std::shared_ptr<Store> store_;  // null once closed; devices keep it until they end
};

GuestId asGuest(Napi::Value value);

}  // namespace tmemd::binding

#endif  // TMEMD_NAPI_STORE_BINDING_H_
