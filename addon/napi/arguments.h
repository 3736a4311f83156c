// Reading arguments: each of these throws a TypeError that names the argument
// and says what it must be. An absent optional member is the default given.
#ifndef TMEMD_NAPI_ARGUMENTS_H_
#define TMEMD_NAPI_ARGUMENTS_H_

#include <napi.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "device/owned_fd.h"

namespace tmemd::binding {

inline constexpr uint64_t kMaxSafeInteger = (uint64_t{1} << 53) - 1;

Napi::TypeError argumentError(Napi::Env env, const std::string& name, const std::string& expected);

uint64_t asInteger(Napi::Value value, const std::string& name, uint64_t min, uint64_t max = kMaxSafeInteger);
uint64_t asUint64(Napi::Value value, const std::string& name);  // a bigint
bool asBoolean(Napi::Value value, const std::string& name);
std::string asString(Napi::Value value, const std::string& name);
Napi::Object asObject(Napi::Value value, const std::string& name);
Napi::Function asFunction(Napi::Value value, const std::string& name);

// Members of an options object; `name` in errors is the member's.
std::optional<uint64_t> optionalInteger(Napi::Object from, const char* name, uint64_t min,
                                        uint64_t max = kMaxSafeInteger);
std::optional<bool> optionalBoolean(Napi::Object from, const char* name);
std::optional<std::string> optionalString(Napi::Object from, const char* name);

// A descriptor that is the callee's from here on; closed with the result.
OwnedFd takeFd(Napi::Value value, const std::string& name);
// Absent when undefined.
OwnedFd takeOptionalFd(Napi::Value value, const std::string& name);

}  // namespace tmemd::binding

#endif  // TMEMD_NAPI_ARGUMENTS_H_
