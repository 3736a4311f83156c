// A connected UNIX stream socket that carries descriptors: FdConnection in
// src/native/addon.ts. All on the JavaScript thread; nothing blocks: descriptors
// that the peer sent are never closed here (errand.h). The object refers to
// itself while an operation waits, so that it is not collected.
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
  // Descriptors one read or write may carry; what comes beyond them is closed with the connection.
  static constexpr size_t kMaxFds = 32;
  // What one message of the kernel's may carry (SCM_MAX_FD). There is always room for so many: those it cannot
  // hand over the kernel closes itself, within recvmsg.
  static constexpr size_t kMostFds = 253;
  static constexpr size_t kMaxMessageBytes = size_t{1} << 20;
  static constexpr size_t kMaxQueuedWrites = 64;

  static Napi::Function define(Napi::Env env);
  // Owns the connected, non-blocking socket from here on.
  static Napi::Object adopt(Napi::Env env, OwnedFd fd);

  explicit ConnectionBinding(const Napi::CallbackInfo& info);
  ~ConnectionBinding() override;

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
  Napi::Value watchPeer(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);

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
  void firePeerGone();
  void forgetPeer();

  const std::shared_ptr<Environment> environment_;
  const uint64_t acceptedNs_;
  std::unique_ptr<WatchedSocket> socket_;  // null once closed
  std::vector<OwnedFd> unwanted_;          // came from the peer; closed with the socket
  Napi::Reference<Napi::Promise> closed_;  // what close() returned
  OwnedFd peerProcess_;
  Readiness::Id peerWatch_ = 0;
  Napi::FunctionReference onPeerGone_;
  std::optional<PendingRead> read_;
  std::deque<PendingWrite> writes_;
};

}  // namespace tmemd::binding

#endif  // TMEMD_NAPI_CONNECTION_BINDING_H_
