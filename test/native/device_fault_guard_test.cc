// Front ends that truncate the memory they share.
#include <doctest/doctest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <memory>
#include <thread>
#include <vector>

#include "device/fault_guard.h"
#include "native/guest_fixture.h"

using namespace tmemd;
using namespace tmemd::test;

namespace {

constexpr uint64_t kPage = 4096;

uint8_t read(const std::byte* address) { return *reinterpret_cast<const volatile uint8_t*>(address); }

// The signal that ends a child that runs `body`, or 0.
template <typename Body>
int signalOf(Body body) {
  const pid_t child = fork();
  if (child == 0) {
    body();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

// From here on the process gets no mapping of so many bytes or more, as one with vm.overcommit_memory=2 that
// has promised all it may; not even in the place of another, which RLIMIT_DATA would allow.
void refuseMappingsFrom(uint32_t sizeBytes) {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[1])),  // its lower half
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, sizeBytes, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOMEM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog program{sizeof filter / sizeof *filter, filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
    raise(SIGSYS);
  }
}

}  // namespace

TEST_CASE("a truncated file reads as zeros, marks its mapping and leaves others alone") {
  GuestRam victim(8 * kPage), other(2 * kPage);
  const MappedRegion region(victim.region()), untouched(other.region());
  memset(region.data(), 0x77, 8 * kPage);
  memset(untouched.data(), 0x55, 2 * kPage);
  CHECK_FALSE(region.lost());

  REQUIRE(ftruncate(victim.fd(), kPage) == 0);
  CHECK(read(region.data()) == 0x77);  // what is left is still there
  CHECK_FALSE(region.lost());
  CHECK(read(region.data() + 5 * kPage) == 0);
  CHECK(region.lost());
  CHECK(read(region.data()) == 0);  // the whole mapping went
  memset(region.data(), 0x11, 8 * kPage);

  CHECK(read(untouched.data()) == 0x55);
  CHECK_FALSE(untouched.lost());
}

TEST_CASE("a copy out of a truncated mapping ends and is known to be worthless") {
  GuestRam victim(2 * kPage);
  const MappedRegion region(victim.region());
  REQUIRE(ftruncate(victim.fd(), 0) == 0);
  std::vector<std::byte> page(kPage);
  memcpy(page.data(), region.data(), kPage);
  CHECK(region.lost());
}

TEST_CASE("memory is lost with any one of its regions, and stays sound while others' are lost") {
  GuestRam first(kPage, 0), last(kPage, kPage), other(kPage, 0);
  const GuestMemory memory({std::make_shared<MappedRegion>(first.region()), std::make_shared<MappedRegion>(last.region())});
  const GuestMemory others({std::make_shared<MappedRegion>(other.region())});
  CHECK_FALSE(memory.lost());
  CHECK_FALSE(others.lost());

  REQUIRE(ftruncate(other.fd(), 0) == 0);
  CHECK(read(others.contiguous(0, 1)) == 0);
  CHECK_FALSE(memory.lost());
  CHECK(others.lost());

  REQUIRE(ftruncate(last.fd(), 0) == 0);
  CHECK_FALSE(memory.lost());
  CHECK(read(memory.contiguous(kPage, 1)) == 0);
  CHECK(memory.lost());
  CHECK(memory.lost());  // for good
  CHECK(others.lost());
}

TEST_CASE("however many regions others have mapped, one more is guarded") {
  GuestRam others(kPage), victim(kPage);
  std::vector<std::unique_ptr<MappedRegion>> regions;
  for (size_t i = 0; i < 5000; ++i) regions.push_back(std::make_unique<MappedRegion>(others.region()));
  for (int round = 0; round < 2; ++round) {
    const MappedRegion region(victim.region());
    REQUIRE(ftruncate(victim.fd(), 0) == 0);
    CHECK(read(region.data()) == 0);
    CHECK(region.lost());
    CHECK_FALSE(regions.front()->lost());
    REQUIRE(ftruncate(victim.fd(), kPage) == 0);
    regions.erase(regions.begin(), regions.begin() + 2500);  // and their places are used again
  }
}

TEST_CASE("a truncated region does no harm where not as much memory may be promised as it had") {
  CHECK(signalOf([] {
          constexpr uint32_t kLarge = 64 << 20;
          GuestRam victim(kLarge);
          const MappedRegion region(victim.region());
          refuseMappingsFrom(kLarge);
          if (ftruncate(victim.fd(), 0) != 0) raise(SIGUSR1);
          errno = EDOM;
          if (read(region.data() + kLarge / 2) != 0 || !region.lost()) raise(SIGUSR2);
          if (errno != EDOM) raise(SIGUSR1);
          memset(region.data(), 1, 64 * kPage);
        }) == 0);
}

TEST_CASE("threads lose their own mappings only") {
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&good, i] {
      for (int round = 0; round < 50; ++round) {
        GuestRam ram(2 * kPage);
        const MappedRegion region(ram.region());
        memset(region.data(), i + 1, 2 * kPage);
        const bool truncate = (round + i) % 2 == 0;
        if (truncate && ftruncate(ram.fd(), 0) != 0) return;
        const uint8_t seen = read(region.data() + kPage);
        if (region.lost() != truncate || seen != (truncate ? 0 : i + 1)) return;
      }
      ++good;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(good == 4);
}

TEST_CASE("a bus error elsewhere still kills, or reaches the handler that was there before") {
  CHECK(signalOf([] {
          signal(SIGBUS, SIG_DFL);  // a sanitizer's, if there is one
          GuestRam guarded(kPage), bare(kPage);
          const MappedRegion region(guarded.region());
          void* mapping = mmap(nullptr, kPage, PROT_READ, MAP_SHARED, bare.fd(), 0);
          if (ftruncate(bare.fd(), 0) != 0) _exit(1);
          read(static_cast<std::byte*>(mapping));
        }) == SIGBUS);
}
