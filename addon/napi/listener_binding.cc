// Accepts that go on when a connection is there.
#include "napi/listener_binding.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "napi/connection_binding.h"
#include "napi/errors.h"

namespace tmemd::binding {

Napi::Function ListenerBinding::define(Napi::Env env) {
  return DefineClass(
      env, "FdListener",
      {InstanceMethod<&ListenerBinding::accept>("accept"), InstanceMethod<&ListenerBinding::close>("close")});
}

Napi::Object ListenerBinding::adopt(Napi::Env env, OwnedFd fd) {
  return Environment::of(env)->listenerConstructor.New({Napi::External<OwnedFd>::New(env, &fd)});
}

ListenerBinding::ListenerBinding(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  if (!info[0].IsExternal()) throw Napi::TypeError::New(info.Env(), "listeners come from listenUnix");
  OwnedFd& fd = *info[0].As<Napi::External<OwnedFd>>().Data();
  socket_ = translateErrors(info.Env(), [&] {
    return std::make_unique<WatchedSocket>(Environment::of(info.Env()), std::move(fd), [this] {
      Napi::HandleScope scope(Env());
      continueAccept();
    });
  });
}

Napi::Value ListenerBinding::accept(const Napi::CallbackInfo& info) {
  if (accept_) throw Napi::Error::New(info.Env(), "an accept is in progress on this listener");
  accept_.emplace(info.Env());
  const Napi::Promise promise = accept_->Promise();
  Ref();
  Environment::of(info.Env())->mainThread.hold();
  continueAccept();
  return promise;
}

void ListenerBinding::continueAccept() {
  if (!accept_) return;
  if (!socket_) {
    takeAccept().Reject(errorWithCode(Env(), "the listener is closed", kClosedCode).Value());
    return;
  }
  for (;;) {
    OwnedFd connection(accept4(socket_->fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (connection) {
      takeAccept().Resolve(ConnectionBinding::adopt(Env(), std::move(connection)));
      return;
    }
    if (errno == EINTR || errno == ECONNABORTED) continue;
    if (errno == EAGAIN) return socket_->arm(EPOLLIN);
    takeAccept().Reject(errnoError(Env(), errno, "accept").Value());
    return;
  }
}

Napi::Promise::Deferred ListenerBinding::takeAccept() {
  const Napi::Promise::Deferred deferred = *accept_;
  accept_.reset();
  Environment::of(Env())->mainThread.release();
  Unref();
  return deferred;
}

void ListenerBinding::close(const Napi::CallbackInfo&) {
  socket_.reset();
  continueAccept();
}

}  // namespace tmemd::binding
