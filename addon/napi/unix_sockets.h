// Making UNIX stream sockets: listenUnix, connectUnix and adoptSocket in
// src/native/addon.ts.
#ifndef TMEMD_NAPI_UNIX_SOCKETS_H_
#define TMEMD_NAPI_UNIX_SOCKETS_H_

#include <napi.h>

namespace tmemd::binding {

Napi::Value listenUnix(const Napi::CallbackInfo& info);
Napi::Value connectUnix(const Napi::CallbackInfo& info);
Napi::Value adoptSocket(const Napi::CallbackInfo& info);

}  // namespace tmemd::binding

#endif  // TMEMD_NAPI_UNIX_SOCKETS_H_
