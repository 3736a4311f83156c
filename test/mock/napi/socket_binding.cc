// FdSocket for JavaScript.
#include "mock/napi/bindings.h"

#include <unistd.h>

#include <system_error>

#include "mock/fd_socket.h"

namespace tmemd::mock {

namespace {

class SocketBinding : public Napi::ObjectWrap<SocketBinding> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "Socket",
                       {InstanceMethod("send", &SocketBinding::send),
                        InstanceMethod("receive", &SocketBinding::receive),
                        InstanceMethod("close", &SocketBinding::close)});
  }

  explicit SocketBinding(const Napi::CallbackInfo& info) : Napi::ObjectWrap<SocketBinding>(info) {
    guarded(info.Env(), [&] {
      if (info[0].IsNumber())
        socket_ = std::make_unique<FdSocket>(info[0].As<Napi::Number>().Int32Value());
      else
        socket_ = std::make_unique<FdSocket>(info[0].As<Napi::String>().Utf8Value());
    });
  }

 private:
  Napi::Value send(const Napi::CallbackInfo& info) {
    std::vector<int> fds;
    if (info[1].IsArray()) {
      const auto list = info[1].As<Napi::Array>();
      for (uint32_t i = 0; i < list.Length(); ++i) fds.push_back(list.Get(i).As<Napi::Number>().Int32Value());
    }
    bool sent = false;
    guarded(info.Env(), [&] {
      sent = socket_->send(bytesOf(info[0]), fds, info[2].As<Napi::Number>().Int32Value());
    });
    return Napi::Boolean::New(info.Env(), sent);
  }

  Napi::Value receive(const Napi::CallbackInfo& info) {
    std::vector<std::byte> bytes;
    std::vector<int> fds;
    FdSocket::Outcome outcome = FdSocket::Outcome::kTimedOut;
    guarded(info.Env(), [&] {
      outcome = socket_->receive(info[0].As<Napi::Number>().Uint32Value(),
                                 info[1].As<Napi::Number>().Int32Value(), bytes, fds);
    });
    if (outcome == FdSocket::Outcome::kTimedOut) return Napi::String::New(info.Env(), "timed-out");
    if (outcome == FdSocket::Outcome::kClosed) return Napi::String::New(info.Env(), "closed");
    Napi::Object received = Napi::Object::New(info.Env());
    received.Set("bytes", copyOut(info.Env(), bytes));
    Napi::Array list = Napi::Array::New(info.Env(), fds.size());
    for (size_t i = 0; i < fds.size(); ++i) list.Set(static_cast<uint32_t>(i), fds[i]);
    received.Set("fds", list);
    return received;
  }

  void close(const Napi::CallbackInfo&) { socket_->close(); }

  std::unique_ptr<FdSocket> socket_;
};

}  // namespace

Napi::Function defineSocket(Napi::Env env) { return SocketBinding::define(env); }

}  // namespace tmemd::mock
