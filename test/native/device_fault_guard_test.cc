// Front ends that truncate the memory they share.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

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

TEST_CASE("a guard's place is used again") {
  GuestRam victim(kPage);
  for (size_t i = 0; i < 2 * FaultGuard::kMaxGuards; ++i) {
    const MappedRegion region(victim.region());
    CHECK_FALSE(region.lost());
  }
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
