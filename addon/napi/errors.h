// Errors as JavaScript sees them: an Error with a `code`.
#ifndef TMEMD_NAPI_ERRORS_H_
#define TMEMD_NAPI_ERRORS_H_

#include <napi.h>

#include <cerrno>
#include <new>
#include <string>
#include <system_error>

#include "device/front_end_error.h"
#include "engine/store.h"

namespace tmemd::binding {

inline constexpr const char* kConfigCode = "TMEMD_CONFIG";       // a configuration that cannot be honoured
inline constexpr const char* kArenaCode = "TMEMD_ARENA";         // an arena that cannot be recovered
inline constexpr const char* kFrontEndCode = "TMEMD_FRONT_END";  // the front end asked for what is impossible
inline constexpr const char* kClosedCode = "TMEMD_CLOSED";       // closed, by us or by the peer
inline constexpr const char* kTruncatedCode = "TMEMD_TRUNCATED";  // the stream ended within a message

Napi::Error errorWithCode(Napi::Env env, const std::string& message, const char* code);
// `code` is the errno's name, as in Node's own errors.
Napi::Error errnoError(Napi::Env env, int error, const std::string& what);

// Calls `body` and turns the C++ exceptions it may throw into JavaScript's.
template <typename Body>
auto translateErrors(Napi::Env env, Body body) {
  try {
    return body();
  } catch (const ConfigError& error) {
    throw errorWithCode(env, error.what(), kConfigCode);
  } catch (const AttachError& error) {
    throw errorWithCode(env, error.what(), kArenaCode);
  } catch (const FrontEndError& error) {
    throw errorWithCode(env, error.what(), kFrontEndCode);
  } catch (const std::bad_alloc&) {
    throw errnoError(env, ENOMEM, "no memory");
  } catch (const std::system_error& error) {
    throw errnoError(env, error.code().value(), error.what());
  }
}

}  // namespace tmemd::binding

#endif  // TMEMD_NAPI_ERRORS_H_
