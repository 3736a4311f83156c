// The mock's N-API binding: thin, synchronous, one class per noun.
//
// Errors of the core come out as JavaScript Errors with their message; wrong
// argument types are programmer errors and are not checked for politeness.
#ifndef TMEMD_TEST_MOCK_NAPI_BINDINGS_H_
#define TMEMD_TEST_MOCK_NAPI_BINDINGS_H_

#include <napi.h>

#include <cstddef>
#include <exception>
#include <memory>
#include <span>
#include <vector>

#include "mock/guest_memory.h"
#include "mock/ring.h"

namespace tmemd::mock {

// Runs `work`, turning a C++ exception into a JavaScript one.
template <typename Work>
void guarded(Napi::Env env, Work work) {
  try {
    work();
  } catch (const Napi::Error&) {
    throw;
  } catch (const std::exception& error) {
    throw Napi::Error::New(env, error.what());
  }
}

inline uint64_t u64Of(const Napi::Value& value) {
  if (value.IsNumber()) return static_cast<uint64_t>(value.As<Napi::Number>().Int64Value());
  bool lossless = false;
  return value.As<Napi::BigInt>().Uint64Value(&lossless);
}

// Valid while the call lasts.
inline std::span<const std::byte> bytesOf(const Napi::Value& value) {
  const auto array = value.As<Napi::Uint8Array>();
  return {reinterpret_cast<const std::byte*>(array.Data()), array.ByteLength()};
}

inline std::span<const uint32_t> u32sOf(const Napi::Value& value) {
  const auto array = value.As<Napi::Uint32Array>();
  return {array.Data(), array.ElementLength()};
}

inline Napi::Value copyOut(Napi::Env env, std::span<const std::byte> bytes) {
  return Napi::Buffer<uint8_t>::Copy(env, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
}

class MemoryBinding : public Napi::ObjectWrap<MemoryBinding> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit MemoryBinding(const Napi::CallbackInfo& info);
  const std::shared_ptr<GuestMemory>& memory() const { return memory_; }

 private:
  Napi::Value fd(const Napi::CallbackInfo& info);
  Napi::Value userspaceOf(const Napi::CallbackInfo& info);
  Napi::Value allocate(const Napi::CallbackInfo& info);
  void write(const Napi::CallbackInfo& info);
  Napi::Value read(const Napi::CallbackInfo& info);
  void truncate(const Napi::CallbackInfo& info);

  std::shared_ptr<GuestMemory> memory_;
};

class RingBinding : public Napi::ObjectWrap<RingBinding> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit RingBinding(const Napi::CallbackInfo& info);
  const std::shared_ptr<GuestMemory>& memory() const { return memory_; }
  const std::shared_ptr<Ring>& ring() const { return ring_; }

 private:
  Napi::Value layout(const Napi::CallbackInfo& info);
  void reset(const Napi::CallbackInfo& info);
  Napi::Value add(const Napi::CallbackInfo& info);
  void addHead(const Napi::CallbackInfo& info);
  Napi::Value publish(const Napi::CallbackInfo& info);
  void kick(const Napi::CallbackInfo& info);
  Napi::Value take(const Napi::CallbackInfo& info);
  Napi::Value wait(const Napi::CallbackInfo& info);

  std::shared_ptr<GuestMemory> memory_;  // before ring_, which refers to it
  std::shared_ptr<Ring> ring_;
};

Napi::Function defineSocket(Napi::Env env);
Napi::Function defineRequestQueue(Napi::Env env);
Napi::Function defineLoad(Napi::Env env);
Napi::Function defineBlkLoad(Napi::Env env);
Napi::Function defineFloor(Napi::Env env);

}  // namespace tmemd::mock

#endif  // TMEMD_TEST_MOCK_NAPI_BINDINGS_H_
