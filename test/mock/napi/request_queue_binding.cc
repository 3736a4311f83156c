// RequestQueue for JavaScript.
#include <linux/virtio_tmem.h>

#include "mock/napi/bindings.h"
#include "mock/request_queue.h"

namespace tmemd::mock {

namespace {

std::optional<std::vector<uint32_t>> cutsOf(const Napi::Value& value) {
  if (!value.IsArray()) return std::nullopt;
  const auto list = value.As<Napi::Array>();
  std::vector<uint32_t> cuts;
  for (uint32_t i = 0; i < list.Length(); ++i) cuts.push_back(list.Get(i).As<Napi::Number>().Uint32Value());
  return cuts;
}

uint32_t u32Of(const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name);
  return value.IsNumber() ? value.As<Napi::Number>().Uint32Value() : 0;
}

int32_t i32Of(const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name);
  return value.IsNumber() ? value.As<Napi::Number>().Int32Value() : 0;
}

virtio_tmem_req requestOf(const Napi::Object& object) {
  virtio_tmem_req request{};
  request.op = static_cast<uint16_t>(u32Of(object, "op"));
  request.flags = static_cast<uint16_t>(u32Of(object, "flags"));
  request.pool = u32Of(object, "pool");
  request.index = u32Of(object, "index");
  request.nr_pages = u32Of(object, "nrPages");
  const Napi::Value oid = object.Get("oid");
  if (oid.IsArray())
    for (uint32_t i = 0; i < 3; ++i) request.oid[i] = u64Of(oid.As<Napi::Array>().Get(i));
  return request;
}

Shape shapeOf(const Napi::Object& object) {
  Shape shape;
  shape.readableCuts = cutsOf(object.Get("readableCuts"));
  shape.writableCuts = cutsOf(object.Get("writableCuts"));
  shape.readableExtra = i32Of(object, "readableExtra");
  shape.writableExtra = i32Of(object, "writableExtra");
  shape.indirect = object.Get("indirect").ToBoolean();
  return shape;
}

class RequestQueueBinding : public Napi::ObjectWrap<RequestQueueBinding> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "RequestQueue",
                       {InstanceMethod("submit", &RequestQueueBinding::submit),
                        InstanceMethod("take", &RequestQueueBinding::take),
                        InstanceMethod("data", &RequestQueueBinding::data)});
  }

  explicit RequestQueueBinding(const Napi::CallbackInfo& info) : Napi::ObjectWrap<RequestQueueBinding>(info) {
    const auto* ring = RingBinding::Unwrap(info[0].As<Napi::Object>());
    memory_ = ring->memory();
    ring_ = ring->ring();
    guarded(info.Env(), [&] {
      queue_ = std::make_unique<RequestQueue>(*memory_, *ring_, info[1].As<Napi::Number>().Uint32Value(),
                                              info[2].As<Napi::Number>().Uint32Value(),
                                              info[3].As<Napi::Number>().Uint32Value());
    });
  }

 private:
  Napi::Value submit(const Napi::CallbackInfo& info) {
    const auto object = info[0].As<Napi::Object>();
    const auto shape = info[2].IsObject() ? shapeOf(info[2].As<Napi::Object>()) : Shape{};
    const auto data = info[1].IsTypedArray() ? bytesOf(info[1]) : std::span<const std::byte>{};
    std::optional<uint32_t> slot;
    guarded(info.Env(), [&] { slot = queue_->submit(requestOf(object), data, shape); });
    return slot ? Napi::Value(Napi::Number::New(info.Env(), *slot)) : info.Env().Undefined();
  }

  Napi::Value take(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    std::optional<Completion> completion;
    guarded(env, [&] { completion = queue_->take(); });
    if (!completion) return env.Undefined();
    Napi::Object out = Napi::Object::New(env);
    out.Set("slot", Napi::Number::New(env, completion->slot));
    out.Set("usedLength", Napi::Number::New(env, completion->usedLength));
    out.Set("status", Napi::Number::New(env, completion->response.status));
    out.Set("nrDone", Napi::Number::New(env, completion->response.nr_done));
    out.Set("value", Napi::BigInt::New(env, static_cast<uint64_t>(completion->response.value)));
    return out;
  }

  Napi::Value data(const Napi::CallbackInfo& info) {
    std::span<const std::byte> bytes;
    guarded(info.Env(), [&] {
      bytes = queue_->data(info[0].As<Napi::Number>().Uint32Value(), info[1].As<Napi::Number>().Uint32Value());
    });
    return copyOut(info.Env(), bytes);
  }

  std::shared_ptr<GuestMemory> memory_;
  std::shared_ptr<Ring> ring_;
  std::unique_ptr<RequestQueue> queue_;
};

}  // namespace

Napi::Function defineRequestQueue(Napi::Env env) { return RequestQueueBinding::define(env); }

}  // namespace tmemd::mock
