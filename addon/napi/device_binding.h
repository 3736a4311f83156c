// The JavaScript class Device: NativeDevice in src/native/addon.ts.
//
// Promises settle from the worker's thread through MainThread. While any is
// pending the object refers to itself, so that it is not collected.
#ifndef TMEMD_NAPI_DEVICE_BINDING_H_
#define TMEMD_NAPI_DEVICE_BINDING_H_

#include <napi.h>

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "device/device.h"
#include "napi/environment.h"

namespace tmemd::binding {

class DeviceBinding : public Napi::ObjectWrap<DeviceBinding>, private Stoppable {
 public:
  static Napi::Function define(Napi::Env env);

  explicit DeviceBinding(const Napi::CallbackInfo& info);
  ~DeviceBinding() override;

 private:
  Napi::Value setMemoryTable(const Napi::CallbackInfo& info);
  Napi::Value addMemoryRegion(const Napi::CallbackInfo& info);
  Napi::Value removeMemoryRegion(const Napi::CallbackInfo& info);
  Napi::Value startVring(const Napi::CallbackInfo& info);
  Napi::Value enableVring(const Napi::CallbackInfo& info);
  Napi::Value setKickFd(const Napi::CallbackInfo& info);
  Napi::Value setCallFd(const Napi::CallbackInfo& info);
  Napi::Value stopVring(const Napi::CallbackInfo& info);
  void setLimitAndTarget(const Napi::CallbackInfo& info);
  Napi::Value counters(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);

  void stopAndJoin() override;

  // The promise of a call, and what settles it when the worker is done.
  struct Pending {
    Napi::Promise promise;
    Device::Done done;
  };
  Pending begin(Napi::Env env, bool resolvesToValue = false);

  // Maps elsewhere (errand.h), then has the device adopt what was mapped. One at a time, or the second's
  // allowance is not what the first leaves.
  using Adopt = std::function<void(GuestMemory::Regions, Device::Done)>;
  Napi::Value mapThen(Napi::Env env, std::vector<RegionSetup> setups, bool besideTable, Adopt adopt);

  // Collected with the environment if never closed.
  using Callback = std::shared_ptr<Napi::FunctionReference>;

  const std::shared_ptr<Environment> environment_;
  const Callback onEvent_;
  std::unique_ptr<Device> device_;
  std::optional<Napi::Promise::Deferred> closing_;
  Napi::Reference<Napi::Promise> closed_;  // what close() returned
};

}  // namespace tmemd::binding

#endif  // TMEMD_NAPI_DEVICE_BINDING_H_
