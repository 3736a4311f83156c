// Building errors.
#include "napi/errors.h"

#include <cstring>

namespace tmemd::binding {

Napi::Error errorWithCode(Napi::Env env, const std::string& message, const char* code) {
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, code));
  return error;
}

Napi::Error errnoError(Napi::Env env, int error, const std::string& what) {
  const char* name = strerrorname_np(error);
  if (!name) name = "EUNKNOWN";
  return errorWithCode(env, std::string(name) + ": " + strerror(error) + ", " + what, name);
}

}  // namespace tmemd::binding
