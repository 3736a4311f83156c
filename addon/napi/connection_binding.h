// A connected UNIX stream socket that carries descriptors: FdConnection in
// src/native/addon.ts. All on the JavaScript thread; nothing blocks. The object
// refers to itself while an operation waits, so that it is not collected.
#ifndef TMEMD_NAPI_CONNECTION_BINDING_H_
#define TMEMD_NAPI_CONNECTION_BINDING_H_

#include <napi.h>
#include <sys/socket.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "device/owned_fd.h"
#include "napi/watched_socket.h"

namespace tmemd::binding {

class ConnectionBinding : public Napi::ObjectWrap<ConnectionBinding> {
 public:
  // Descriptors one read or write may carry; what comes beyond them is closed.
  static constexpr size_t kMaxFds = 32;
  static constexpr size_t kMaxMessageBytes = size_t{1} << 20;
  static constexpr size_t kMaxQueuedWrites = 64;

  static Napi::Function define(Napi::Env env);
  // Owns the connected, non-blocking socket from here on.
  static Napi::Object adopt(Napi::Env env, OwnedFd fd);

  explicit ConnectionBinding(const Napi::CallbackInfo& info);

 private:
  struct PendingRead {
    PendingRead(Napi::Env env, size_t lengthBytes) : deferred(env), bytes(lengthBytes) {}
    Napi::Promise::Deferred deferred;
    std::vector<uint8_t> bytes;
    size_t receivedBytes = 0;
    std::vector<OwnedFd> fds;
    bool fdsTruncated = false;
  };
  struct PendingWrite {
    explicit PendingWrite(Napi::Env env) : deferred(env) {}
    Napi::Promise::Deferred deferred;
    std::vector<uint8_t> bytes;
    size_t sentBytes = 0;
    std::vector<OwnedFd> fds;  // duplicates; they go with the first byte
  };

  Napi::Value peer(const Napi::CallbackInfo& info);
  Napi::Value read(const Napi::CallbackInfo& info);
  Napi::Value write(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  void onReady();
  void rearm();
  // Each settles its promise when there is nothing more to wait for.
  void continueRead();
  void continueWrites();
  void takeFds(msghdr& message);
  void resolveRead();
  void rejectRead(const Napi::Error& error);
  void begin();
  void end();

  std::unique_ptr<WatchedSocket> socket_;  // null once closed
  std::optional<PendingRead> read_;
  std::deque<PendingWrite> writes_;
};

}  // namespace tmemd::binding

#endif  // TMEMD_NAPI_CONNECTION_BINDING_H_
