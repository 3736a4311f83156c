// A listening UNIX stream socket: FdListener in src/native/addon.ts. All on the
// JavaScript thread; nothing blocks.
#ifndef TMEMD_NAPI_LISTENER_BINDING_H_
#define TMEMD_NAPI_LISTENER_BINDING_H_

#include <napi.h>

#include <memory>
#include <optional>

#include "device/owned_fd.h"
#include "napi/watched_socket.h"

namespace tmemd::binding {

class ListenerBinding : public Napi::ObjectWrap<ListenerBinding> {
 public:
  static Napi::Function define(Napi::Env env);
  // Owns the listening, non-blocking socket from here on.
  static Napi::Object adopt(Napi::Env env, OwnedFd fd);

  explicit ListenerBinding(const Napi::CallbackInfo& info);

 private:
  Napi::Value accept(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  // Settles the promise, or waits.
  void continueAccept();
  Napi::Promise::Deferred takeAccept();

  std::unique_ptr<WatchedSocket> socket_;  // null once closed
  std::optional<Napi::Promise::Deferred> accept_;
};

}  // namespace tmemd::binding

#endif  // TMEMD_NAPI_LISTENER_BINDING_H_
