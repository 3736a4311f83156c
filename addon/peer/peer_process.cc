// pidfds, by SO_PEERPIDFD or by the number in SO_PEERCRED.
#include "peer/peer_process.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <utility>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

namespace tmemd {
namespace {

using State = PeerProcess::State;

// Ticks since the machine started, the 22nd field of /proc/PID/stat; the second is a name with anything in it.
std::optional<uint64_t> startTicks(pid_t pid) {
  char path[32];
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  const OwnedFd file(open(path, O_RDONLY | O_CLOEXEC));
  if (!file) return std::nullopt;
  char text[1024];
  const ssize_t length = read(file.get(), text, sizeof text - 1);
  if (length <= 0) return std::nullopt;
  text[length] = 0;
  const char* field = strrchr(text, ')');
  for (int number = 2; field && number < 22; ++number) field = strchr(field + 1, ' ');
  if (!field) return std::nullopt;
  return strtoull(field, nullptr, 10);
}

}  // namespace

uint64_t bootTimeNs() {
  timespec now;
  clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

PeerProcess peerProcess(int socket, uint64_t acceptedNs) {
  int fd = -1;
  socklen_t length = sizeof fd;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &fd, &length) == 0) return {State::kAlive, OwnedFd(fd)};
  if (errno == ENOPROTOOPT || errno == EOPNOTSUPP) return peerProcessByNumber(socket, acceptedNs);
  // EINVAL and ESRCH: it has ended and was waited for. Anything else is ours, such as too many descriptors.
  return {errno == EINVAL || errno == ESRCH ? State::kGone : State::kUnknown, {}};
}

PeerProcess peerProcessByNumber(int socket, uint64_t acceptedNs) {
  ucred credentials = {};
  socklen_t length = sizeof credentials;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0 || credentials.pid <= 0)
    return {};
  OwnedFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, credentials.pid, 0)));
  if (!pidfd) return {errno == ESRCH ? State::kGone : State::kUnknown, {}};
  // After the descriptor was opened: if it is the same process then, it was all the time.
  const std::optional<uint64_t> ticks = startTicks(credentials.pid);
  const uint64_t tickNs = 1'000'000'000 / static_cast<uint64_t>(sysconf(_SC_CLK_TCK));
  if (ticks && *ticks > acceptedNs / tickNs) return {State::kGone, {}};
  return {State::kAlive, std::move(pidfd)};
}

}  // namespace tmemd
