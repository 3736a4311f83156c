#include "mock/fd_socket.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

namespace tmemd::mock {

namespace {

constexpr size_t kMostFds = 253;  // SCM_MAX_FD

[[noreturn]] void fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

bool peerGone(int error) { return error == EPIPE || error == ECONNRESET; }

// False when time ran out.
bool ready(int fd, short events, int timeoutMs) {
  pollfd waiting{fd, events, 0};
  for (;;) {
    const int count = poll(&waiting, 1, timeoutMs);
    if (count >= 0) return count > 0;
    if (errno != EINTR) fail("poll");
  }
}

}  // namespace

FdSocket::FdSocket(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    fail("socket path");
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  fd_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd_ < 0) fail("socket");
  if (connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const int error = errno;
    close();
    errno = error;
    fail("connect");
  }
}

bool FdSocket::send(std::span<const std::byte> bytes, std::span<const int> fds, int timeoutMs) {
  if (fds.size() > kMostFds) {
    errno = EINVAL;
    fail("descriptors");
  }
  alignas(cmsghdr) char control[CMSG_SPACE(kMostFds * sizeof(int))];
  while (!bytes.empty()) {
    iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (!fds.empty()) {
      message.msg_control = control;
      message.msg_controllen = CMSG_SPACE(fds.size_bytes());
      cmsghdr* header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(fds.size_bytes());
      std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
    }
    if (!ready(fd_, POLLOUT, timeoutMs)) {
      errno = ETIMEDOUT;
      fail("send");
    }
    const ssize_t sent = sendmsg(fd_, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
      if (errno == EINTR || errno == EAGAIN) continue;
      if (peerGone(errno)) return false;
      fail("sendmsg");
    }
    bytes = bytes.subspan(static_cast<size_t>(sent));
    fds = {};
  }
  return true;
}

FdSocket::Outcome FdSocket::receive(size_t maxBytes, int timeoutMs, std::vector<std::byte>& bytes,
                                    std::vector<int>& fds) {
  alignas(cmsghdr) char control[CMSG_SPACE(kMostFds * sizeof(int))];
  if (!ready(fd_, POLLIN, timeoutMs)) return Outcome::kTimedOut;
  bytes.resize(maxBytes);
  iovec part{bytes.data(), maxBytes};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t received = recvmsg(fd_, &message, MSG_CMSG_CLOEXEC);
  if (received < 0 && !peerGone(errno)) fail("recvmsg");
  bytes.resize(received > 0 ? static_cast<size_t>(received) : 0);
  fds.clear();
  if (received <= 0) return Outcome::kClosed;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    const size_t at = fds.size();
    fds.resize(at + count);
    std::memcpy(fds.data() + at, CMSG_DATA(header), count * sizeof(int));
  }
  return Outcome::kReceived;
}

void FdSocket::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

}  // namespace tmemd::mock
