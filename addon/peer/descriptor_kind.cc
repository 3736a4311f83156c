// Reads /proc/self/fd, and for sockets the options that no protocol is asked for.
#include "peer/descriptor_kind.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <string_view>

namespace tmemd {
namespace {

bool isConnectedUnixStream(int fd) {
  // Answered by the socket layer without the socket's lock.
  const auto option = [fd](int name) {
    int value = -1;
    socklen_t length = sizeof value;
    return getsockopt(fd, SOL_SOCKET, name, &value, &length) == 0 ? value : -1;
  };
  return option(SO_DOMAIN) == AF_UNIX && option(SO_TYPE) == SOCK_STREAM && option(SO_ACCEPTCONN) == 0;
}

}  // namespace

DescriptorKind kindOf(int fd) {
  char path[32];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  char name[64];
  const ssize_t length = readlink(path, name, sizeof name);
  if (length <= 0) return DescriptorKind::kOther;
  const std::string_view text(name, static_cast<size_t>(length));
  if (text == "anon_inode:[eventfd]") return DescriptorKind::kEventFd;
  if (text.starts_with("socket:[") && isConnectedUnixStream(fd)) return DescriptorKind::kUnixStream;
  return DescriptorKind::kOther;
}

}  // namespace tmemd
