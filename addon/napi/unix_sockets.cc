// bind, listen and connect, with errors that name the path.
#include "napi/unix_sockets.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "napi/arguments.h"
#include "napi/connection_binding.h"
#include "napi/errors.h"
#include "napi/listener_binding.h"

namespace tmemd::binding {
namespace {

constexpr int kBacklog = 16;

sockaddr_un addressOf(Napi::Env env, const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.find('\0') != std::string::npos) throw argumentError(env, "path", "a path");
  if (path.size() >= sizeof address.sun_path) throw errnoError(env, ENAMETOOLONG, "socket path " + path);
  memcpy(address.sun_path, path.data(), path.size());
  return address;
}

OwnedFd openSocket(Napi::Env env) {
  OwnedFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) throw errnoError(env, errno, "socket");
  return fd;
}

}  // namespace

Napi::Value listenUnix(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::string path = asString(info[0], "path");
  const auto mode = static_cast<mode_t>(asInteger(info[1], "mode", 0, 0777));
  const sockaddr_un address = addressOf(env, path);
  OwnedFd fd = openSocket(env);
  // On Linux the file takes the socket's own mode: never more open than asked, not even for a moment.
  if (fchmod(fd.get(), mode) != 0) throw errnoError(env, errno, "fchmod");
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    throw errnoError(env, errno, "bind " + path);
  if (chmod(path.c_str(), mode) != 0) throw errnoError(env, errno, "chmod " + path);  // what the umask took
  if (listen(fd.get(), kBacklog) != 0) throw errnoError(env, errno, "listen " + path);
  return ListenerBinding::adopt(env, std::move(fd));
}

Napi::Value connectUnix(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::string path = asString(info[0], "path");
  const sockaddr_un address = addressOf(env, path);
  OwnedFd fd = openSocket(env);
  // Completes at once on a UNIX socket, or fails with EAGAIN when the backlog is full.
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    throw errnoError(env, errno, "connect " + path);
  return ConnectionBinding::adopt(env, std::move(fd));
}

Napi::Value adoptSocket(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  OwnedFd fd = takeFd(info[0], "fd");
  int domain = 0;
  int type = 0;
  int listening = 0;
  const auto option = [&](int name, int& value) {
    socklen_t length = sizeof value;
    if (getsockopt(fd.get(), SOL_SOCKET, name, &value, &length) != 0)
      throw errnoError(env, errno, "descriptor " + std::to_string(fd.get()));
  };
  option(SO_DOMAIN, domain);
  option(SO_TYPE, type);
  option(SO_ACCEPTCONN, listening);
  if (domain != AF_UNIX || type != SOCK_STREAM) throw argumentError(env, "fd", "a UNIX stream socket");
  if (fcntl(fd.get(), F_SETFL, fcntl(fd.get(), F_GETFL) | O_NONBLOCK) != 0 ||
      fcntl(fd.get(), F_SETFD, FD_CLOEXEC) != 0)
    throw errnoError(env, errno, "fcntl");
  Napi::Object result = Napi::Object::New(env);
  if (listening) {
    result.Set("listener", ListenerBinding::adopt(env, std::move(fd)));
  } else {
    result.Set("connection", ConnectionBinding::adopt(env, std::move(fd)));
  }
  return result;
}

}  // namespace tmemd::binding
