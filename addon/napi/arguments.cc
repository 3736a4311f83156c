// Checks of arguments, each with what it expects in words.
#include "napi/arguments.h"

#include <climits>
#include <cmath>

namespace tmemd::binding {

Napi::TypeError argumentError(Napi::Env env, const std::string& name, const std::string& expected) {
  return Napi::TypeError::New(env, name + " must be " + expected);
}

uint64_t asInteger(Napi::Value value, const std::string& name, uint64_t min, uint64_t max) {
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
  if (number != std::floor(number) || number < static_cast<double>(min) || number > static_cast<double>(max))
    throw argumentError(value.Env(), name,
                        "an integer from " + std::to_string(min) + " to " + std::to_string(max));
  return static_cast<uint64_t>(number);
}

uint64_t asUint64(Napi::Value value, const std::string& name) {
  bool lossless = false;
  uint64_t number = 0;
  if (value.IsBigInt()) number = value.As<Napi::BigInt>().Uint64Value(&lossless);
  if (!lossless) throw argumentError(value.Env(), name, "a bigint from 0 to 2^64 - 1");
  return number;
}

bool asBoolean(Napi::Value value, const std::string& name) {
  if (!value.IsBoolean()) throw argumentError(value.Env(), name, "a boolean");
  return value.As<Napi::Boolean>();
}

std::string asString(Napi::Value value, const std::string& name) {
  if (!value.IsString()) throw argumentError(value.Env(), name, "a string");
  return value.As<Napi::String>();
}

Napi::Object asObject(Napi::Value value, const std::string& name) {
  if (!value.IsObject()) throw argumentError(value.Env(), name, "an object");
  return value.As<Napi::Object>();
}

Napi::Function asFunction(Napi::Value value, const std::string& name) {
  if (!value.IsFunction()) throw argumentError(value.Env(), name, "a function");
  return value.As<Napi::Function>();
}

std::optional<uint64_t> optionalInteger(Napi::Object from, const char* name, uint64_t min, uint64_t max) {
  const Napi::Value value = from.Get(name);
  if (value.IsUndefined()) return std::nullopt;
  return asInteger(value, name, min, max);
}

std::optional<bool> optionalBoolean(Napi::Object from, const char* name) {
  const Napi::Value value = from.Get(name);
  if (value.IsUndefined()) return std::nullopt;
  return asBoolean(value, name);
}

std::optional<std::string> optionalString(Napi::Object from, const char* name) {
  const Napi::Value value = from.Get(name);
  if (value.IsUndefined()) return std::nullopt;
  return asString(value, name);
}

OwnedFd takeFd(Napi::Value value, const std::string& name) {
  return OwnedFd(static_cast<int>(asInteger(value, name, 0, INT_MAX)));
}

OwnedFd takeOptionalFd(Napi::Value value, const std::string& name) {
  return value.IsUndefined() ? OwnedFd() : takeFd(value, name);
}

}  // namespace tmemd::binding
