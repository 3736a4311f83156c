// What descriptors are, and when the process at the other end of a connection has ended.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <string>

#include "peer/descriptor_kind.h"
#include "peer/peer_process.h"

using namespace tmemd;
using State = PeerProcess::State;

namespace {

DescriptorKind kindOfOwned(int fd) {
  REQUIRE(fd >= 0);
  const OwnedFd owned(fd);
  return kindOf(fd);
}

bool ended(const PeerProcess& peer, int timeoutMs) {
  pollfd waiting{peer.pidfd.get(), POLLIN, 0};
  return poll(&waiting, 1, timeoutMs) == 1;
}

// A connection made by a child process, which ends when it is told to. This process holds the child's end as well.
struct Child {
  Child() {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    // An abstract name: nothing to clear up.
    snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "tmemd-peer-test-%d", getpid());
    const OwnedFd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(listen(listener.get(), 1) == 0);
    int ends[2];
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    const OwnedFd wait(ends[0]);
    goOn = OwnedFd(ends[1]);
    theirs = OwnedFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    pid = fork();
    if (pid == 0) {
      goOn.close();
      connect(theirs.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
      char byte;
      _exit(static_cast<int>(read(wait.get(), &byte, 1)));
    }
    ours = OwnedFd(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    acceptedNs = bootTimeNs();
  }
  ~Child() { end(); }

  void end() {
    goOn.close();
    if (pid > 0) waitpid(std::exchange(pid, -1), nullptr, 0);
  }

  pid_t pid;
  OwnedFd goOn;
  OwnedFd theirs;
  OwnedFd ours;
  uint64_t acceptedNs = 0;
};

}  // namespace

TEST_CASE("an eventfd is told from everything that is none") {
  CHECK(kindOfOwned(eventfd(0, EFD_CLOEXEC)) == DescriptorKind::kEventFd);
  CHECK(kindOfOwned(eventfd(5, EFD_CLOEXEC | EFD_SEMAPHORE | EFD_NONBLOCK)) == DescriptorKind::kEventFd);
  CHECK(kindOfOwned(epoll_create1(EPOLL_CLOEXEC)) == DescriptorKind::kOther);
  CHECK(kindOfOwned(inotify_init1(IN_CLOEXEC)) == DescriptorKind::kOther);
  CHECK(kindOfOwned(memfd_create("anon_inode:[eventfd]", MFD_CLOEXEC)) == DescriptorKind::kOther);
  CHECK(kindOfOwned(open("/dev/null", O_RDWR | O_CLOEXEC)) == DescriptorKind::kOther);
  CHECK(kindOfOwned(open("/", O_PATH | O_CLOEXEC)) == DescriptorKind::kOther);
  CHECK(kindOf(-1) == DescriptorKind::kOther);
  CHECK(kindOf(1 << 20) == DescriptorKind::kOther);
}

TEST_CASE("a file whose name is that of an eventfd is none") {
  char folder[] = "/tmp/tmemd-peer-XXXXXX";
  REQUIRE(mkdtemp(folder));
  for (const char* name : {"anon_inode:[eventfd]", "socket:[1]"}) {
    const std::string path = std::string(folder) + "/" + name;
    CHECK(kindOfOwned(open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600)) == DescriptorKind::kOther);
    unlink(path.c_str());
  }
  rmdir(folder);
}

TEST_CASE("a connected UNIX stream socket is told from every other socket") {
  int ends[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  const OwnedFd other(ends[1]);
  CHECK(kindOfOwned(ends[0]) == DescriptorKind::kUnixStream);
  REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
  const OwnedFd packets(ends[1]);
  CHECK(kindOfOwned(ends[0]) == DescriptorKind::kOther);
  CHECK(kindOfOwned(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) == DescriptorKind::kOther);
  OwnedFd listening(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  REQUIRE(bind(listening.get(), reinterpret_cast<sockaddr*>(&address), sizeof address.sun_family) == 0);
  REQUIRE(listen(listening.get(), 1) == 0);
  CHECK(kindOf(listening.get()) == DescriptorKind::kOther);
}

TEST_CASE("a peer is gone when its process has ended, whoever holds its socket") {
  Child child;
  for (const bool byNumber : {false, true}) {
    const PeerProcess peer = byNumber ? peerProcessByNumber(child.ours.get(), child.acceptedNs)
                                      : peerProcess(child.ours.get(), child.acceptedNs);
    CHECK(peer.state == State::kAlive);
    CHECK(!ended(peer, 0));
  }
  const PeerProcess watched = peerProcess(child.ours.get(), child.acceptedNs);
  const PeerProcess byNumber = peerProcessByNumber(child.ours.get(), child.acceptedNs);
  child.end();
  CHECK(ended(watched, 60'000));
  CHECK(ended(byNumber, 60'000));
}

TEST_CASE("a peer that ended before anybody looked is gone") {
  Child child;
  child.end();
  CHECK(peerProcessByNumber(child.ours.get(), child.acceptedNs).state == State::kGone);
  // Newer kernels give a descriptor even then; it is readable at once.
  const PeerProcess peer = peerProcess(child.ours.get(), child.acceptedNs);
  CHECK((peer.state == State::kGone || (peer.state == State::kAlive && ended(peer, 0))));
}

TEST_CASE("a process that began after the connection was there is not its peer") {
  Child child;
  // As if the connection had been accepted when the machine started: who has the number now came later.
  CHECK(peerProcessByNumber(child.ours.get(), 0).state == State::kGone);
}
