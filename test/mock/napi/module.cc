// tmemd_mock.node: the driver side and the wire header's numbers.
#include <arpa/inet.h>
#include <linux/virtio_tmem.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "mock/napi/bindings.h"

namespace tmemd::mock {

namespace {

Napi::Object wireNumbers(Napi::Env env) {
  Napi::Object wire = Napi::Object::New(env);
#define X(name) wire.Set(#name, Napi::Number::New(env, VIRTIO_TMEM_##name));
  X(OP_RESET) X(OP_POOL_CREATE) X(OP_POOL_DESTROY) X(OP_STAT) X(OP_ATTACH)
  X(OP_PUT) X(OP_GET) X(OP_FLUSH) X(OP_FLUSH_OBJECT)
  X(POOL_PERSISTENT) X(POOL_SHARED) X(GET_EXCLUSIVE) X(ALL_POOLS) X(STAT_TARGET) X(STAT_LIMIT)
  X(S_OK) X(S_MISS) X(S_REFUSED) X(S_BAD_REQUEST) X(S_NO_POOL) X(S_DENIED) X(S_CORRUPT) X(S_NO_SESSION) X(S_TOO_MANY)
#undef X
  return wire;
}

int checked(Napi::Env env, int fd, const char* what) {
  if (fd < 0) throw Napi::Error::New(env, std::system_error(errno, std::generic_category(), what).what());
  return fd;
}

Napi::Value memfd(const Napi::CallbackInfo& info) {
  const int fd = checked(info.Env(), memfd_create("mock", MFD_CLOEXEC), "memfd_create");
  checked(info.Env(), ftruncate(fd, static_cast<off_t>(u64Of(info[0]))), "ftruncate");
  return Napi::Number::New(info.Env(), fd);
}

// Blocking, as a front end may pass it.
Napi::Value eventFd(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), checked(info.Env(), eventfd(0, EFD_CLOEXEC), "eventfd"));
}

Napi::Value socketPair(const Napi::CallbackInfo& info) {
  int ends[2];
  checked(info.Env(), socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), "socketpair");
  Napi::Array out = Napi::Array::New(info.Env(), 2);
  out.Set(0u, ends[0]);
  out.Set(1u, ends[1]);
  return out;
}

Napi::Value lingeringSocket(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const int listener = checked(env, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
  const int small = 4096;
  setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  auto* name = reinterpret_cast<sockaddr*>(&address);
  checked(env, bind(listener, name, length), "bind");
  checked(env, listen(listener, 1), "listen");
  checked(env, getsockname(listener, name, &length), "getsockname");
  const int fd = checked(env, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
  checked(env, connect(fd, name, length), "connect");
  const linger lingering{1, info[0].As<Napi::Number>().Int32Value()};
  checked(env, setsockopt(fd, SOL_SOCKET, SO_LINGER, &lingering, sizeof lingering), "SO_LINGER");
  const char bytes[4096] = {};
  while (send(fd, bytes, sizeof bytes, MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
  }
  Napi::Object out = Napi::Object::New(env);
  out.Set("fd", fd);
  out.Set("listener", listener);
  return out;
}

void closeFd(const Napi::CallbackInfo& info) { ::close(info[0].As<Napi::Number>().Int32Value()); }

Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  exports.Set("Socket", defineSocket(env));
  exports.Set("Memory", MemoryBinding::define(env));
  exports.Set("Ring", RingBinding::define(env));
  exports.Set("RequestQueue", defineRequestQueue(env));
  exports.Set("Load", defineLoad(env));
  exports.Set("BlkLoad", defineBlkLoad(env));
  exports.Set("Floor", defineFloor(env));
  exports.Set("wire", wireNumbers(env));
  exports.Set("memfd", Napi::Function::New(env, memfd));
  exports.Set("eventFd", Napi::Function::New(env, eventFd));
  exports.Set("socketPair", Napi::Function::New(env, socketPair));
  exports.Set("lingeringSocket", Napi::Function::New(env, lingeringSocket));
  exports.Set("closeFd", Napi::Function::New(env, closeFd));
  return exports;
}

}  // namespace

NODE_API_MODULE(tmemd_mock, initialise)

}  // namespace tmemd::mock
