// tmemd_peers.node: clients of what tmemd is measured beside. Blocking, for timing.
#include <napi.h>

#include <memory>
#include <span>

#include "bench/peers/block_device.h"
#include "bench/peers/key_value.h"

namespace tmemd::bench {

namespace {

template <typename Work>
Napi::Value measured(Napi::Env env, size_t requests, Work work) {
  PeerResult result;
  try {
    result = work();
  } catch (const std::exception& error) {
    throw Napi::Error::New(env, error.what());
  }
  Napi::Object out = Napi::Object::New(env);
  out.Set("elapsedNs", Napi::Number::New(env, static_cast<double>(result.elapsedNs)));
  // One status, success: everything else was thrown.
  Napi::Array byStatus = Napi::Array::New(env, 1);
  byStatus.Set(0u, Napi::Number::New(env, static_cast<double>(requests)));
  out.Set("byStatus", byStatus);
  out.Set("mismatches", Napi::Number::New(env, static_cast<double>(result.mismatches)));
  Napi::Uint32Array latencies = Napi::Uint32Array::New(env, result.latencyNs.size());
  for (size_t i = 0; i < result.latencyNs.size(); ++i) latencies[i] = result.latencyNs[i];
  out.Set("latencyNs", latencies);
  return out;
}

std::string text(const Napi::Value& value) { return value.As<Napi::String>().Utf8Value(); }

std::unique_ptr<BlockDevice> makeBlockDevice(const Napi::CallbackInfo& info) {
  return std::make_unique<BlockDevice>(text(info[0]), text(info[1]));
}

std::unique_ptr<KeyValue> makeKeyValue(const Napi::CallbackInfo& info) {
  const KeyValueProtocol protocol =
      text(info[1]) == "redis" ? KeyValueProtocol::redis() : KeyValueProtocol::memcached();
  return std::make_unique<KeyValue>(text(info[0]), protocol, info[2].As<Napi::Number>().Uint32Value(), text(info[3]));
}

// put(pages), get(pages, verify) and close() of a client.
template <typename Client, std::unique_ptr<Client> (*make)(const Napi::CallbackInfo&)>
class Binding : public Napi::ObjectWrap<Binding<Client, make>> {
 public:
  static Napi::Function define(Napi::Env env, const char* name) {
    using Self = Napi::ObjectWrap<Binding>;
    return Self::DefineClass(
        env, name,
        {Self::InstanceMethod("put", &Binding::put), Self::InstanceMethod("get", &Binding::get),
         Self::InstanceMethod("close", &Binding::close)});
  }

  explicit Binding(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Binding>(info) {
    try {
      client_ = make(info);
    } catch (const std::exception& error) {
      throw Napi::Error::New(info.Env(), error.what());
    }
  }

 private:
  static std::span<const uint32_t> pagesOf(const Napi::Value& value) {
    const auto array = value.As<Napi::Uint32Array>();
    return {array.Data(), array.ElementLength()};
  }
  Napi::Value put(const Napi::CallbackInfo& info) {
    const auto pages = pagesOf(info[0]);
    return measured(info.Env(), pages.size(), [&] { return client_->put(pages); });
  }
  Napi::Value get(const Napi::CallbackInfo& info) {
    const auto pages = pagesOf(info[0]);
    return measured(info.Env(), pages.size(), [&] { return client_->get(pages, info[1].ToBoolean()); });
  }
  // Gives up its descriptor now, not when it is collected; nothing may follow.
  void close(const Napi::CallbackInfo&) { client_.reset(); }

  std::unique_ptr<Client> client_;
};

Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  exports.Set("BlockDevice", Binding<BlockDevice, makeBlockDevice>::define(env, "BlockDevice"));
  exports.Set("KeyValue", Binding<KeyValue, makeKeyValue>::define(env, "KeyValue"));
  return exports;
}

}  // namespace

NODE_API_MODULE(tmemd_peers, initialise)

}  // namespace tmemd::bench
