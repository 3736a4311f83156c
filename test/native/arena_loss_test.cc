// An arena whose memory goes: the process ends, and says why. Each happens in a child.
#include "engine/arena_loss.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <functional>
#include <optional>
#include <string>

#include "engine/arena.h"
#include "native/private_mounts.h"

using namespace tmemd;

namespace {

constexpr size_t kArenaBytes = 4 << 20;
constexpr int kLivedOn = 99;
constexpr int kNoPlace = 98;

struct Ended {
  int status;  // as waitpid() has it
  std::string said;
};

Ended inChild(const std::function<void()>& body) {
  int said[2];
  REQUIRE(pipe(said) == 0);
  pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    dup2(said[1], STDERR_FILENO);
    body();
    _exit(kLivedOn);
  }
  close(said[1]);
  Ended ended{};
  char text[4096];
  for (ssize_t bytes; (bytes = read(said[0], text, sizeof text)) > 0;)
    ended.said.append(text, static_cast<size_t>(bytes));
  close(said[0]);
  REQUIRE(waitpid(child, &ended.status, 0) == child);
  return ended;
}

// Without seals, as a file of a tmpfs is.
int plainFile() { return memfd_create("arena", MFD_CLOEXEC); }

// A file of a tmpfs of one MiB that nobody else sees.
int fileInSmallTmpfs() {
  if (!enterPrivateMounts()) _exit(kNoPlace);
  char folder[] = "/tmp/tmemd-XXXXXX";
  if (!mkdtemp(folder) || mount("tmpfs", folder, "tmpfs", 0, "size=1m") != 0) _exit(kNoPlace);
  int fd = open((std::string(folder) + "/arena").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  umount2(folder, MNT_DETACH);
  rmdir(folder);
  return fd;
}

void touch(Arena& arena, uint64_t from) {
  for (uint64_t at = from; at < kArenaBytes; at += 4096)
    *static_cast<volatile std::byte*>(arena.at(at)) = std::byte{1};
}

}  // namespace

TEST_CASE("an arena whose file is cut ends the process with a line that says so") {
  Ended ended = inChild([] {
    int fd = plainFile();
    Arena arena(fd, kArenaBytes);
    touch(arena, 0);
    if (ftruncate(fd, 8192) != 0) _exit(kNoPlace);
    touch(arena, 8192);
  });
  CHECK(WIFEXITED(ended.status));
  CHECK(WEXITSTATUS(ended.status) == ArenaLoss::kExitStatus);
  CHECK(ended.said ==
        "tmemd: arena: its file was cut to 8192 of 4194304 bytes while in use; the pages that lay behind are "
        "lost\n");
}

TEST_CASE("an arena whose file system is full ends the process with a line that says so" *
          doctest::skip(!canInChild([] { return enterPrivateMounts(); }))) {
  Ended ended = inChild([] {
    Arena arena(fileInSmallTmpfs(), kArenaBytes);
    touch(arena, 0);
  });
  CHECK(WIFEXITED(ended.status));
  CHECK(WEXITSTATUS(ended.status) == ArenaLoss::kExitStatus);
  CHECK(ended.said ==
        "tmemd: arena: no memory for its file of 4194304 bytes: its file system is full; give that as much "
        "room as "
        "the arena\n");
}

TEST_CASE("a bus error elsewhere ends the process by the signal, whatever arenas there are or were") {
  for (bool there : {true, false}) {
    Ended ended = inChild([there] {
      signal(SIGBUS, SIG_DFL);  // a sanitizer has its own
      std::optional<Arena> arena(std::in_place, plainFile(), kArenaBytes);
      if (!there) arena.reset();
      int fd = plainFile();
      void* elsewhere = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
      *static_cast<volatile char*>(elsewhere) = 1;
    });
    CHECK(WIFSIGNALED(ended.status));
    CHECK(WTERMSIG(ended.status) == SIGBUS);
    CHECK(ended.said == "");
  }
}
