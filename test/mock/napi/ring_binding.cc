// GuestMemory and Ring for JavaScript.
#include "mock/napi/bindings.h"

namespace tmemd::mock {

MemoryBinding::MemoryBinding(const Napi::CallbackInfo& info) : Napi::ObjectWrap<MemoryBinding>(info) {
  guarded(info.Env(), [&] {
    const auto list = info[0].As<Napi::Array>();
    std::vector<Region> regions;
    for (uint32_t i = 0; i < list.Length(); ++i) {
      const auto region = list.Get(i).As<Napi::Object>();
      regions.push_back({u64Of(region.Get("guestPhysical")), u64Of(region.Get("userspace")),
                         u64Of(region.Get("offset")), u64Of(region.Get("size"))});
    }
    memory_ = std::make_shared<GuestMemory>(std::move(regions));
  });
}

Napi::Function MemoryBinding::define(Napi::Env env) {
  return DefineClass(env, "Memory",
                     {InstanceMethod("fd", &MemoryBinding::fd),
                      InstanceMethod("userspaceOf", &MemoryBinding::userspaceOf),
                      InstanceMethod("allocate", &MemoryBinding::allocate),
                      InstanceMethod("write", &MemoryBinding::write),
                      InstanceMethod("read", &MemoryBinding::read),
                      InstanceMethod("truncate", &MemoryBinding::truncate)});
}

Napi::Value MemoryBinding::fd(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), memory_->fd());
}

Napi::Value MemoryBinding::userspaceOf(const Napi::CallbackInfo& info) {
  uint64_t address = 0;
  guarded(info.Env(), [&] { address = memory_->userspaceOf(u64Of(info[0])); });
  return Napi::BigInt::New(info.Env(), address);
}

Napi::Value MemoryBinding::allocate(const Napi::CallbackInfo& info) {
  uint64_t address = 0;
  guarded(info.Env(), [&] {
    address = memory_->allocate(info[0].As<Napi::Number>().Uint32Value(), u64Of(info[1]), u64Of(info[2]));
  });
  return Napi::BigInt::New(info.Env(), address);
}

void MemoryBinding::write(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] { memory_->write(u64Of(info[0]), bytesOf(info[1])); });
}

Napi::Value MemoryBinding::read(const Napi::CallbackInfo& info) {
  std::vector<std::byte> bytes(u64Of(info[1]));
  guarded(info.Env(), [&] { memory_->read(u64Of(info[0]), bytes); });
  return copyOut(info.Env(), bytes);
}

void MemoryBinding::truncate(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] { memory_->truncate(u64Of(info[0])); });
}

RingBinding::RingBinding(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<RingBinding>(info),
      memory_(MemoryBinding::Unwrap(info[0].As<Napi::Object>())->memory()) {
  guarded(info.Env(), [&] {
    ring_ = std::make_shared<Ring>(*memory_, static_cast<uint16_t>(info[1].As<Napi::Number>().Uint32Value()),
                                   info[2].As<Napi::Number>().Uint32Value(), info[3].ToBoolean());
  });
}

Napi::Function RingBinding::define(Napi::Env env) {
  return DefineClass(
      env, "Ring",
      {InstanceMethod("layout", &RingBinding::layout), InstanceMethod("reset", &RingBinding::reset),
       InstanceMethod("add", &RingBinding::add), InstanceMethod("addHead", &RingBinding::addHead),
       InstanceMethod("publish", &RingBinding::publish), InstanceMethod("kick", &RingBinding::kick),
       InstanceMethod("take", &RingBinding::take), InstanceMethod("wait", &RingBinding::wait)});
}

Napi::Value RingBinding::layout(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const RingLayout& layout = ring_->layout();
  Napi::Object out = Napi::Object::New(env);
  out.Set("size", Napi::Number::New(env, layout.size));
  out.Set("descriptors", Napi::BigInt::New(env, layout.descriptors));
  out.Set("available", Napi::BigInt::New(env, layout.available));
  out.Set("used", Napi::BigInt::New(env, layout.used));
  out.Set("kickFd", Napi::Number::New(env, ring_->kickFd()));
  out.Set("callFd", Napi::Number::New(env, ring_->callFd()));
  return out;
}

void RingBinding::reset(const Napi::CallbackInfo&) { ring_->reset(); }

Napi::Value RingBinding::add(const Napi::CallbackInfo& info) {
  const auto list = info[0].As<Napi::Array>();
  std::vector<Segment> segments;
  for (uint32_t i = 0; i < list.Length(); ++i) {
    const auto segment = list.Get(i).As<Napi::Object>();
    segments.push_back({u64Of(segment.Get("address")), segment.Get("length").As<Napi::Number>().Uint32Value(),
                        segment.Get("writable").ToBoolean()});
  }
  std::optional<uint64_t> table;
  if (!info[1].IsUndefined()) table = u64Of(info[1]);
  std::optional<uint16_t> head;
  guarded(info.Env(), [&] { head = ring_->add(segments, table); });
  return head ? Napi::Value(Napi::Number::New(info.Env(), *head)) : info.Env().Undefined();
}

void RingBinding::addHead(const Napi::CallbackInfo& info) {
  ring_->addHead(static_cast<uint16_t>(info[0].As<Napi::Number>().Uint32Value()));
}

Napi::Value RingBinding::publish(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), ring_->publish());
}

void RingBinding::kick(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] { ring_->kick(); });
}

Napi::Value RingBinding::take(const Napi::CallbackInfo& info) {
  const std::optional<UsedEntry> used = ring_->take();
  if (!used) return info.Env().Undefined();
  Napi::Object out = Napi::Object::New(info.Env());
  out.Set("head", Napi::Number::New(info.Env(), used->head));
  out.Set("length", Napi::Number::New(info.Env(), used->length));
  return out;
}

Napi::Value RingBinding::wait(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(),
                            ring_->wait(info[0].As<Napi::Number>().Int32Value(), info[1].ToBoolean()));
}

}  // namespace tmemd::mock
