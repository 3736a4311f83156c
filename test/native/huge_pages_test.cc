// Which pieces of the arena are made huge pages, and that what lies in them stays what it is.
// What the kernel answers is made up, where the rules are tested: not every machine has huge pages to give.
#include <doctest/doctest.h>

#include <cstring>

#include "engine/huge_pages.h"
#include "native/fast_clock.h"
#include "native/store_fixture.h"

using namespace tmemd;

namespace {

using Result = Arena::HugeResult;

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kFramesAt = 20 * 1024;  // of the first region, and a frame lies across each border
constexpr uint32_t kBorderFrame = 31;      // across the first
constexpr uint32_t kFramesOfSecond = 33;   // of which two reach out of it

struct Regions {
  Regions() : arena(-1, 8 * kMiB), huge(arena, kFramesAt) {}
  void fill(uint32_t from, uint32_t count) {
    for (uint32_t frame = from; frame < from + count; frame++) huge.filled(frame);
  }
  void fillSecond() { fill(kBorderFrame, kFramesOfSecond); }
  void settle() {
    for (int i = 0; i < 2; i++) huge.beginRound();
  }
  Arena arena;
  HugePages huge;
  uint32_t region = 0;
};

}  // namespace

TEST_CASE("a region is made a huge page when all of it was filled for a while") {
  Regions r;
  r.fill(kBorderFrame, kFramesOfSecond - 1);
  r.settle();
  CHECK(!r.huge.begin(&r.region));
  r.fill(kBorderFrame + kFramesOfSecond - 1, 1);
  CHECK(!r.huge.begin(&r.region));
  r.settle();
  REQUIRE(r.huge.begin(&r.region));
  CHECK(r.region == 1);
  CHECK(!r.huge.finish(r.region, Result::kMade));
  CHECK(r.huge.hugeBytes() == Arena::kHugeBytes);
  CHECK(!r.huge.begin(&r.region));
}

TEST_CASE("so is one after which enough others were filled") {
  Regions r;
  r.fillSecond();
  r.fill(kBorderFrame + kFramesOfSecond, 63);
  CHECK(!r.huge.begin(&r.region));
  r.fill(kBorderFrame + kFramesOfSecond + 63, 1);
  REQUIRE(r.huge.begin(&r.region));
  CHECK(r.region == 1);
  r.huge.finish(r.region, Result::kMade);
  CHECK(!r.huge.begin(&r.region));
}

TEST_CASE("a region with a part of the span table waits for that to be filled") {
  Regions r;
  r.fill(0, kBorderFrame + 1);
  r.settle();
  CHECK(!r.huge.begin(&r.region));
  r.huge.filledUpTo(kFramesAt);
  r.settle();
  REQUIRE(r.huge.begin(&r.region));
  CHECK(r.region == 0);
}

TEST_CASE("a region that loses a frame is made one again when it is full again") {
  Regions r;
  r.fillSecond();
  r.settle();
  REQUIRE(r.huge.begin(&r.region));
  r.huge.finish(r.region, Result::kMade);
  r.huge.emptied(40);
  CHECK(r.huge.hugeBytes() == 0);
  r.settle();
  CHECK(!r.huge.begin(&r.region));
  r.huge.filled(40);
  r.settle();
  CHECK(r.huge.begin(&r.region));
}

TEST_CASE("a region that loses a frame before its time has come is none until it is full again") {
  Regions r;
  r.fillSecond();
  r.huge.emptied(40);
  r.settle();
  CHECK(!r.huge.begin(&r.region));
  r.huge.filled(40);
  r.settle();
  CHECK(r.huge.begin(&r.region));
}

TEST_CASE("a frame given back while the kernel copies is told of, and the region is none") {
  Regions r;
  r.fillSecond();
  r.settle();
  REQUIRE(r.huge.begin(&r.region));
  r.huge.emptied(40);
  CHECK(r.huge.reaches(40, r.region));
  CHECK(r.huge.reaches(kBorderFrame, r.region));
  CHECK(!r.huge.reaches(kBorderFrame - 1, r.region));
  CHECK(r.huge.finish(r.region, Result::kMade));
  CHECK(r.huge.hugeBytes() == 0);
  r.settle();
  CHECK(!r.huge.begin(&r.region));
}

TEST_CASE("a kernel that cannot is not asked again, one that is busy or short of memory later") {
  Regions r;
  r.fillSecond();
  r.settle();
  REQUIRE(r.huge.begin(&r.region));
  SUBCASE("busy") {
    r.huge.finish(r.region, Result::kBusy);
    CHECK(!r.huge.begin(&r.region));
    r.settle();
    CHECK(r.huge.begin(&r.region));
  }
  SUBCASE("short of memory") {
    r.huge.finish(r.region, Result::kNoMemory);
    r.settle();
    CHECK(!r.huge.begin(&r.region));
    for (int i = 0; i < 60; i++) r.huge.beginRound();
    CHECK(r.huge.begin(&r.region));
  }
  SUBCASE("cannot") {
    r.huge.finish(r.region, Result::kCannot);
    r.fill(kBorderFrame + kFramesOfSecond, 32);
    r.settle();
    CHECK(!r.huge.begin(&r.region));
  }
  CHECK(r.huge.hugeBytes() == 0);
}

TEST_CASE("a region nobody has used is told of at the first frame that reaches into it") {
  Regions r;
  CHECK(r.huge.framesOfRegionFrom(kBorderFrame, &r.region) == kFramesOfSecond);
  CHECK(r.region == 1);
  CHECK(r.huge.framesOfRegionFrom(kBorderFrame + 64, &r.region) == kFramesOfSecond);
  CHECK(r.region == 3);
  SUBCASE("at no other") {
    CHECK(r.huge.framesOfRegionFrom(kBorderFrame - 1, &r.region) == 0);
    CHECK(r.huge.framesOfRegionFrom(kBorderFrame + 1, &r.region) == 0);
  }
  SUBCASE("not where a part of the span table lies, nor where the arena ends") {
    CHECK(r.huge.framesOfRegionFrom(0, &r.region) == 0);
    CHECK(r.huge.framesOfRegionFrom(kBorderFrame + 96, &r.region) == 0);
  }
  SUBCASE("at its border, when frames lie on borders") {
    HugePages even(r.arena, 0);
    CHECK(even.framesOfRegionFrom(32, &r.region) == 32);
    CHECK(r.region == 1);
    CHECK(even.framesOfRegionFrom(31, &r.region) == 0);
  }
}

TEST_CASE("a region made before its frames are filled is made once") {
  Regions r;
  r.huge.beginEmpty(1);
  r.fillSecond();
  r.settle();
  CHECK(!r.huge.begin(&r.region));
  SUBCASE("by then") {
    CHECK(!r.huge.finish(1, Result::kMade));
    CHECK(r.huge.hugeBytes() == Arena::kHugeBytes);
    r.settle();
    CHECK(!r.huge.begin(&r.region));
  }
  SUBCASE("or later, when the kernel was busy") {
    CHECK(!r.huge.finish(1, Result::kBusy));
    r.settle();
    REQUIRE(r.huge.begin(&r.region));
    CHECK(r.region == 1);
  }
  SUBCASE("or later, when the kernel was short of memory; the next is not tried before") {
    CHECK(!r.huge.finish(1, Result::kNoMemory));
    CHECK(r.huge.framesOfRegionFrom(kBorderFrame + 32, &r.region) == 0);
    for (int i = 0; i < 60; i++) r.huge.beginRound();
    CHECK(r.huge.framesOfRegionFrom(kBorderFrame + 32, &r.region) == kFramesOfSecond);
    CHECK(r.huge.begin(&r.region));
  }
  SUBCASE("or never, when the kernel cannot") {
    CHECK(!r.huge.finish(1, Result::kCannot));
    r.settle();
    CHECK(!r.huge.begin(&r.region));
    CHECK(r.huge.framesOfRegionFrom(kBorderFrame + 32, &r.region) == 0);
  }
}

TEST_CASE("the arena's bytes stay what they are, in a huge page and when a part of it is given back") {
  Arena arena(-1, 6 * kMiB + 4096);
  CHECK(reinterpret_cast<uintptr_t>(arena.at(0)) % Arena::kHugeBytes == 0);
  for (uint64_t at = 0; at < arena.sizeBytes(); at += 8) std::memcpy(arena.at(at), &at, 8);
  if (arena.makeHuge(2 * kMiB) != Result::kMade) MESSAGE("this kernel gave no huge page");
  constexpr uint64_t kPunchedAt = 2 * kMiB + 20 * 1024;
  arena.punch(kPunchedAt, kSpanBytes);
  uint64_t wrong = 0;
  for (uint64_t at = 0; at < arena.sizeBytes(); at += 8) {
    uint64_t word;
    std::memcpy(&word, arena.at(at), 8);
    wrong += word != (at >= kPunchedAt && at < kPunchedAt + kSpanBytes ? 0 : at);
  }
  CHECK(wrong == 0);
}

TEST_CASE("pages come back the same from huge pages, and flushed ones leave them") {
  constexpr uint32_t kPages = 4000;
  FastClock clock;
  Store store(storeOf(64 * kMiB, &clock));
  SpanTable& table = StoreTestAccess::impl(store).table;
  TestGuest guest(store, guestNamed("a"));
  for (uint32_t i = 0; i < kPages; i++) REQUIRE(guest.put(guest.p(i / 100, i), randomPage(i)) == Status::kOk);
  clock.pass(std::chrono::seconds(5));
  if (table.usage().hugeBytes == 0) MESSAGE("this kernel gave no huge page");
  for (uint32_t i = 0; i < kPages; i++) CHECK(guest.holds(guest.p(i / 100, i), randomPage(i)));
  CHECK(store.checkInvariants() == "");
  for (uint32_t i = 0; i < kPages; i++) {
    if (i % 10) REQUIRE(guest.flush(guest.p(i / 100, i)) == Status::kOk);
  }
  clock.pass(std::chrono::seconds(20));
  for (uint32_t i = 0; i < kPages; i += 10) CHECK(guest.holds(guest.p(i / 100, i), randomPage(i)));
  CHECK(store.checkInvariants() == "");
}
