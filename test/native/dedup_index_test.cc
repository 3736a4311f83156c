// The index from content to blocks: it finds what was inserted at any size, moves little at a time, and gives
// back what blocks that went leave.
#include "engine/dedup_index.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <vector>

using namespace tmemd;

namespace {

constexpr uint64_t kMiB = 1 << 20;

// All in one partition of 64.
constexpr uint64_t hashOf(uint32_t tag) { return uint64_t{5} << 32 | tag; }
constexpr Loc locOf(uint32_t number) { return makeLoc(1, 0) + number; }

struct Index {
  explicit Index(uint64_t blocksToBe = UINT64_MAX)
      : table(1024 * kMiB, 1, -1), blocks(blocksToBe), index(table, [this] { return blocks; }) {}

  void insert(uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
      tags.push_back(static_cast<uint32_t>(random()));
      index.insert(hashOf(tags.back()), locOf(static_cast<uint32_t>(tags.size() - 1)), 0);
    }
  }
  // Of the numbers [from, to).
  uint32_t found(uint32_t from, uint32_t to) const {
    uint32_t sum = 0;
    for (uint32_t i = from; i < to; i++) {
      std::array<Loc, DedupIndex::kCandidatesMax> candidates;
      uint32_t count = index.find(hashOf(tags[i]), candidates);
      sum += std::find(candidates.begin(), candidates.begin() + count, locOf(i)) != candidates.begin() + count;
    }
    return sum;
  }
  uint64_t borrowed() const { return table.usage().borrowedBytes; }

  const uint64_t seed = std::random_device{}();
  std::mt19937_64 random{seed};
  SpanTable table;
  uint64_t blocks;
  DedupIndex index;
  std::vector<uint32_t> tags;
};

}  // namespace

TEST_CASE("the index finds what was inserted, at any size, and no insert allocates or moves more than a segment") {
  Index in;
  CAPTURE(in.seed);
  uint64_t most = 0;
  constexpr uint32_t kEntries = 600'000;  // as with 38 million blocks
  for (uint32_t i = 0; i < kEntries; i++) {
    uint64_t before = in.borrowed();
    in.insert(1);
    most = std::max(most, std::max(in.borrowed(), before) - before);
  }
  // What an insert adds is at most an eighth of a segment, or what a split leaves half empty.
  CHECK(most <= 4096);
  CHECK(in.index.largestSegmentBytes() <= 16384);
  CHECK(in.found(0, kEntries) > kEntries - kEntries / 1000);
  CHECK(in.borrowed() == in.index.chargedBytes());
  CHECK(in.index.audit() == std::string());
  // Eight bytes an entry, fifteen sixteenths full at best.
  CHECK(in.borrowed() < uint64_t{kEntries} * 8 * 5 / 4);
}

TEST_CASE("the index gives back what blocks that went leave, and finds those that are left") {
  Index in;
  CAPTURE(in.seed);
  constexpr uint32_t kEntries = 200'000;
  in.insert(kEntries);
  uint32_t left = 0;
  SUBCASE("none") {}
  SUBCASE("a few") { left = 100; }
  SUBCASE("a tenth") { left = kEntries / 10; }
  const uint32_t gone = kEntries - left;
  auto isThere = [&](Loc loc) { return loc >= locOf(gone); };
  uint32_t foundBefore = in.found(gone, kEntries);
  uint64_t pieces = 0;
  while (in.index.trim(uint64_t{left} * 64, isThere)) pieces++;
  MESSAGE(pieces << " pieces, " << in.borrowed() << " bytes left");
  CHECK(in.found(gone, kEntries) >= foundBefore - left / 1000);
  CHECK(in.borrowed() <= left * 8 * 3 / 2 + 4096);
  CHECK(in.borrowed() == in.index.chargedBytes());
  CHECK(in.index.audit() == std::string());
  // It grows again.
  in.insert(kEntries);
  CHECK(in.found(kEntries, 2 * kEntries) > kEntries - kEntries / 400);
  CHECK(in.index.audit() == std::string());
}

TEST_CASE("the index is trimmed while it is used") {
  Index in;
  CAPTURE(in.seed);
  uint32_t goneBelow = 0;
  for (int round = 0; round < 20'000; round++) {
    in.insert(static_cast<uint32_t>(in.random() % 20));
    // Most go at times.
    uint32_t end = static_cast<uint32_t>(in.tags.size());
    if (round % 500 == 0) goneBelow = std::max(goneBelow, end - std::min(end, static_cast<uint32_t>(in.random() % 20'000)));
    in.index.trim((in.tags.size() - goneBelow) * 64, [&](Loc loc) { return loc >= locOf(goneBelow); });
    if (round % 1000 == 0) REQUIRE(in.index.audit() == std::string());
  }
  uint32_t held = static_cast<uint32_t>(in.tags.size()) - goneBelow;
  CHECK(in.found(goneBelow, static_cast<uint32_t>(in.tags.size())) >= held - held / 200);
  CHECK(in.borrowed() == in.index.chargedBytes());
}

TEST_CASE("a trim that was in vain is not repeated until something changed") {
  Index in;
  CAPTURE(in.seed);
  in.insert(100'000);
  uint64_t looked = 0;
  auto round = [&](uint64_t blocks) {
    looked = 0;
    while (in.index.trim(blocks, [&](Loc) { return looked++, true; })) {
    }
    return looked;
  };
  // Every entry seems to name a block, though there are few.
  CHECK(round(1000 * 64) > 99'000);
  CHECK(round(1000 * 64) == 0);
  CHECK(round(500 * 64) > 99'000);
  in.insert(100'000);
  CHECK(round(500 * 64) > 190'000);
}
