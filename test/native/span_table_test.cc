// The span table while its background works: what frames cost stays within the capacity, and
// a frame set aside is had at once.
#include "engine/span_table.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace tmemd;

namespace {

constexpr uint64_t kCapacityBytes = 2 << 20;

// Threads that tend a table all the time.
class Tenders {
 public:
  explicit Tenders(SpanTable& table) {
    table.setTended([] {});
    for (int i = 0; i < 2; i++) {
      threads_.emplace_back([this, &table] {
        while (!stop_) {
          table.beginTendingRound();
          table.tend();
        }
      });
    }
  }
  ~Tenders() {
    stop_ = true;
    for (std::thread& thread : threads_) thread.join();
  }

 private:
  std::atomic<bool> stop_{false};
  std::vector<std::thread> threads_;
};

}  // namespace

TEST_CASE("a table that is full to the last frame holds no more memory than it may while it is tended") {
  SpanTable table(kCapacityBytes, 1, -1);
  // Tables outside the arena take the memory of frames, but leave the frames.
  REQUIRE(table.borrow(8 * kSpanBytes));
  Tenders tenders(table);
  std::mt19937_64 random(1);
  std::vector<SpanNumber> held;
  uint64_t full = 0;
  for (int step = 0; step < 60000; step++) {
    if (random() % 4 != 0) {
      SpanNumber span = table.take(SpanKind::kShared, 1, nullptr);
      if (span) held.push_back(span);
      full += span == 0;
    } else if (!held.empty()) {
      table.release(held.back(), nullptr);
      held.pop_back();
    }
    SpanTable::Usage usage = table.usage();
    REQUIRE(usage.usedBytes <= usage.capacityBytes);
    REQUIRE(std::string(table.checkInvariants()) == "");
  }
  CHECK(full > 0);
}

TEST_CASE("a frame set aside is had whatever others hold and the background is about") {
  SpanTable table(kCapacityBytes, 1, -1);
  FrameQuota quota;
  constexpr uint64_t kAside = 4;
  REQUIRE(table.reserve(quota, kAside));
  Tenders tenders(table);
  std::vector<SpanNumber> others;
  for (int round = 0; round < 10000; round++) {
    while (SpanNumber span = table.take(SpanKind::kShared, 1, nullptr)) others.push_back(span);
    std::vector<SpanNumber> aside;
    for (uint64_t i = 0; i < kAside; i++) {
      aside.push_back(table.take(SpanKind::kReserve, 2, &quota));
      REQUIRE(aside.back() != 0);
      REQUIRE(std::string(table.checkInvariants()) == "");
    }
    for (SpanNumber span : aside) table.release(span, &quota);
    for (int i = 0; i < 6; i++) {
      table.release(others.back(), nullptr);
      others.pop_back();
    }
  }
}

TEST_CASE("frames that a bin left are its own as they are while it lives, and zeros to the next of its number") {
  SpanTable table(64 << 20, 1, -1);
  table.setTended([] {});  // frames that are freed wait for it, so that all stay
  constexpr uint32_t kBin = 5;
  constexpr uint32_t kSpans = 300;
  auto takeAll = [&] {
    std::vector<SpanNumber> spans;
    uint32_t dirty = 0;
    for (uint32_t i = 0; i < kSpans; i++) {
      spans.push_back(table.take(SpanKind::kShared, kBin, nullptr));
      REQUIRE(spans.back() != 0);
      dirty += table.bytes(spans.back())[kSpanBytes - 1] != std::byte{0};
      table.bytes(spans.back())[kSpanBytes - 1] = std::byte{1};
    }
    for (SpanNumber span : spans) table.release(span, nullptr);
    return dirty;
  };
  CHECK(takeAll() == 0);
  CHECK(takeAll() == kSpans);
  table.forgetBin(kBin + 1);
  CHECK(takeAll() == kSpans);
  table.forgetBin(kBin);
  CHECK(takeAll() == 0);
}

TEST_CASE("a large table that grows fast is warmed a huge page at a time, and gives back what was not needed") {
  constexpr uint64_t kFrames = 13000;  // one in 192 is the most that is warmed ahead
  constexpr uint64_t kRegionFrames = Arena::kHugeBytes / kSpanBytes;
  SpanTable table(uint64_t{14000} * kSpanBytes, 1, -1);
  bool woken = false;
  table.setTended([&woken] { woken = true; });
  uint64_t mostAtOnce = 0;
  uint64_t notZero = 0;
  for (uint64_t i = 0; i < kFrames; i++) {
    SpanNumber span = table.take(SpanKind::kShared, 1, nullptr);
    REQUIRE(span != 0);
    const std::byte* bytes = table.bytes(span);
    notZero += bytes[sizeof(SpanHeader) + i % 15 * 4096] != std::byte{0};
    if (!std::exchange(woken, false)) continue;
    for (uint64_t before = table.usage().idleBytes; table.tend(); before = table.usage().idleBytes) {
      uint64_t after = table.usage().idleBytes;
      if (after > before) mostAtOnce = std::max(mostAtOnce, (after - before) / kSpanBytes);
      REQUIRE(std::string(table.checkInvariants()) == "");
    }
  }
  CHECK(notZero == 0);
  CHECK(mostAtOnce >= kRegionFrames);
  CHECK(mostAtOnce <= kRegionFrames + 1);
  for (int round = 0; round < 2; round++) table.beginTendingRound();
  while (table.tend()) {
  }
  CHECK(table.usage().idleBytes <= (SpanTable::kSpareSpans + 4) * uint64_t{kSpanBytes});
  uint64_t left = 0;
  while (table.take(SpanKind::kShared, 1, nullptr)) {
    left++;
    while (std::exchange(woken, false) && table.tend()) woken = true;
    REQUIRE(table.usage().usedBytes <= table.usage().capacityBytes);
  }
  CHECK(left > 900);
  CHECK(std::string(table.checkInvariants()) == "");
  table.setTended(nullptr);
}
