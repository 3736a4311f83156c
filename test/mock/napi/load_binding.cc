// Load, BlkLoad and the bench's Floor for JavaScript: blocking, for timing.
#include "bench/floor/floor.h"
#include "mock/blk_load.h"
#include "mock/load.h"
#include "mock/napi/bindings.h"

namespace tmemd::mock {

namespace {

template <typename Result>
Napi::Value toObject(Napi::Env env, const Result& result) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("elapsedNs", Napi::Number::New(env, static_cast<double>(result.elapsedNs)));
  Napi::Array byStatus = Napi::Array::New(env, result.byStatus.size());
  for (uint32_t i = 0; i < result.byStatus.size(); ++i)
    byStatus.Set(i, Napi::Number::New(env, static_cast<double>(result.byStatus[i])));
  out.Set("byStatus", byStatus);
  out.Set("mismatches", Napi::Number::New(env, static_cast<double>(result.mismatches)));
  Napi::Uint32Array latencies = Napi::Uint32Array::New(env, result.latencyNs.size());
  for (size_t i = 0; i < result.latencyNs.size(); ++i) latencies[i] = result.latencyNs[i];
  out.Set("latencyNs", latencies);
  return out;
}

class LoadBinding : public Napi::ObjectWrap<LoadBinding> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "Load",
                       {InstanceMethod("put", &LoadBinding::put), InstanceMethod("get", &LoadBinding::get),
                        InstanceMethod("flush", &LoadBinding::flush)});
  }

  explicit LoadBinding(const Napi::CallbackInfo& info) : Napi::ObjectWrap<LoadBinding>(info) {
    const auto* ring = RingBinding::Unwrap(info[0].As<Napi::Object>());
    memory_ = ring->memory();
    ring_ = ring->ring();
    guarded(info.Env(), [&] {
      load_ = std::make_unique<Load>(*memory_, *ring_, info[1].As<Napi::Number>().Uint32Value(),
                                     info[2].As<Napi::Number>().Uint32Value(),
                                     info[3].As<Napi::Number>().Uint32Value(), u64Of(info[4]));
    });
  }

 private:
  Napi::Value put(const Napi::CallbackInfo& info) {
    return run(info.Env(), [&] { return load_->put(u32sOf(info[0])); });
  }
  Napi::Value get(const Napi::CallbackInfo& info) {
    return run(info.Env(), [&] { return load_->get(u32sOf(info[0]), info[1].ToBoolean()); });
  }
  Napi::Value flush(const Napi::CallbackInfo& info) {
    return run(info.Env(), [&] { return load_->flush(u32sOf(info[0])); });
  }
  template <typename Work>
  Napi::Value run(Napi::Env env, Work work) {
    Load::Result result;
    guarded(env, [&] { result = work(); });
    return toObject(env, result);
  }

  std::shared_ptr<GuestMemory> memory_;
  std::shared_ptr<Ring> ring_;
  std::unique_ptr<Load> load_;
};

class BlkLoadBinding : public Napi::ObjectWrap<BlkLoadBinding> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "BlkLoad",
                       {InstanceMethod("write", &BlkLoadBinding::write),
                        InstanceMethod("read", &BlkLoadBinding::read),
                        InstanceMethod("discard", &BlkLoadBinding::discard)});
  }

  explicit BlkLoadBinding(const Napi::CallbackInfo& info) : Napi::ObjectWrap<BlkLoadBinding>(info) {
    const auto* ring = RingBinding::Unwrap(info[0].As<Napi::Object>());
    memory_ = ring->memory();
    ring_ = ring->ring();
    guarded(info.Env(), [&] {
      load_ = std::make_unique<BlkLoad>(*memory_, *ring_, info[1].As<Napi::Number>().Uint32Value(),
                                        info[2].As<Napi::Number>().Uint32Value(), u64Of(info[3]));
    });
  }

 private:
  Napi::Value write(const Napi::CallbackInfo& info) {
    return run(info.Env(), [&] { return load_->write(u32sOf(info[0])); });
  }
  Napi::Value read(const Napi::CallbackInfo& info) {
    return run(info.Env(), [&] { return load_->read(u32sOf(info[0]), info[1].ToBoolean()); });
  }
  Napi::Value discard(const Napi::CallbackInfo& info) {
    return run(info.Env(), [&] { return load_->discard(u32sOf(info[0])); });
  }
  template <typename Work>
  Napi::Value run(Napi::Env env, Work work) {
    BlkLoad::Result result;
    guarded(env, [&] { result = work(); });
    return toObject(env, result);
  }

  std::shared_ptr<GuestMemory> memory_;
  std::shared_ptr<Ring> ring_;
  std::unique_ptr<BlkLoad> load_;
};

// Over pages that lie in guest memory, as those the device is given.
class FloorBinding : public Napi::ObjectWrap<FloorBinding> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "Floor",
                       {InstanceMethod("put", &FloorBinding::put), InstanceMethod("get", &FloorBinding::get),
                        InstanceMethod("copy", &FloorBinding::copy),
                        InstanceMethod("compressedBytes", &FloorBinding::compressedBytes)});
  }

  explicit FloorBinding(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<FloorBinding>(info),
        memory_(MemoryBinding::Unwrap(info[0].As<Napi::Object>())->memory()) {
    guarded(info.Env(), [&] {
      const uint64_t bytes = u64Of(info[2]) * 4096;
      floor_ = std::make_unique<bench::Floor>(
          std::span<const std::byte>(memory_->at(u64Of(info[1]), bytes), bytes));
    });
  }

 private:
  Napi::Value put(const Napi::CallbackInfo& info) { return number(info, floor_->put(u32sOf(info[0]))); }
  Napi::Value get(const Napi::CallbackInfo& info) { return number(info, floor_->get(u32sOf(info[0]))); }
  Napi::Value copy(const Napi::CallbackInfo& info) { return number(info, floor_->copy(u32sOf(info[0]))); }
  Napi::Value compressedBytes(const Napi::CallbackInfo& info) {
    return number(info, floor_->compressedBytes());
  }
  static Napi::Value number(const Napi::CallbackInfo& info, uint64_t value) {
    return Napi::Number::New(info.Env(), static_cast<double>(value));
  }

  std::shared_ptr<GuestMemory> memory_;
  std::unique_ptr<bench::Floor> floor_;
};

}  // namespace

Napi::Function defineLoad(Napi::Env env) { return LoadBinding::define(env); }
Napi::Function defineBlkLoad(Napi::Env env) { return BlkLoadBinding::define(env); }
Napi::Function defineFloor(Napi::Env env) { return FloorBinding::define(env); }

}  // namespace tmemd::mock
