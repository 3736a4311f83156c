// The heads of a guest's tables: they grow and shrink by a few buckets at a time, and charge what they take.
#include "engine/chain_table.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "native/store_fixture.h"

using namespace tmemd;

namespace {

constexpr uint64_t kMiB = 1 << 20;

uint64_t seedOf() { return std::random_device{}(); }

// Cells that are nothing but a hash and a link; counts how often one of them is looked at.
struct Cells {
  explicit Cells(uint64_t budgetBytes) : table(budgetBytes, 1, -1) {}
  ~Cells() { table.giveBack(heads.chargedBytes()); }

  SpanTable table;
  std::vector<uint64_t> hash{0};
  std::vector<CellRef> next{0};
  ChainTable heads;
  uint64_t count = 0;
  uint64_t looks = 0;

  auto link() {
    return [this](CellRef ref) -> CellRef& { return looks++, next[ref]; };
  }
  bool makeRoom() {
    return heads.makeRoom(count, table, link(), [this](CellRef cell) { return hash[cell]; });
  }
  void add(CellRef ref, uint64_t itsHash) {
    if (ref == hash.size()) {
      hash.push_back(0);
      next.push_back(0);
    }
    hash[ref] = itsHash;
    CellRef& head = heads.head(itsHash);
    next[ref] = head;
    head = ref;
    count++;
  }
  void remove(CellRef ref) {
    CellRef* at = &heads.head(hash[ref]);
    while (*at != ref) at = &next[*at];
    *at = next[ref];
    count--;
    heads.giveRoom(count, table, link());
  }
  bool finds(CellRef ref) const {
    CellRef at = heads.head(hash[ref]);
    while (at && at != ref) at = next[at];
    return at == ref;
  }
  uint64_t linked() const {
    uint64_t found = 0;
    for (size_t bucket = 0; bucket < heads.bucketCount(); bucket++) {
      for (CellRef ref = heads.inBucket(bucket); ref; ref = next[ref]) found++;
    }
    return found;
  }
};

}  // namespace

TEST_CASE("a table of heads finds every cell however it grows and shrinks, and charges what it takes") {
  const uint64_t seed = seedOf();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  Cells cells(256 * kMiB);
  std::vector<CellRef> held, unused;
  for (uint64_t target : {30'000ull, 100ull, 50'000ull, 7'000ull, 20'000ull, 0ull}) {
    while (held.size() < target) {
      CellRef ref = unused.empty() ? static_cast<CellRef>(cells.hash.size()) : unused.back();
      if (!unused.empty()) unused.pop_back();
      REQUIRE(cells.makeRoom());
      cells.add(ref, random());
      held.push_back(ref);
    }
    while (held.size() > target) {
      std::swap(held[random() % held.size()], held.back());
      cells.remove(held.back());
      unused.push_back(held.back());
      held.pop_back();
    }
    REQUIRE(cells.linked() == held.size());
    REQUIRE(std::all_of(held.begin(), held.end(), [&](CellRef ref) { return cells.finds(ref); }));
    REQUIRE(cells.table.usage().borrowedBytes == cells.heads.chargedBytes());
    // Never more than six heads a cell, in a block that is a quarter full or with one chunk and a half to spare.
    CHECK(cells.heads.bucketCount() <= target * 6 + 16);
    CHECK(cells.heads.chargedBytes() <= target * 6 * 4 * 4 + 256);
    CHECK(cells.heads.chargedBytes() <= target * 6 * 4 + 200'000);
  }
  CHECK(cells.heads.chargedBytes() <= 256);
}

TEST_CASE("what one operation moves does not grow with the table") {
  Cells cells(1024 * kMiB);
  const uint64_t seed = seedOf();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  uint64_t mostLooks = 0, mostBuckets = 0;
  auto measured = [&](auto operation) {
    uint64_t looks = cells.looks;
    size_t buckets = cells.heads.bucketCount();
    operation();
    mostLooks = std::max(mostLooks, cells.looks - looks);
    size_t after = cells.heads.bucketCount();
    mostBuckets = std::max<uint64_t>(mostBuckets, after > buckets ? after - buckets : buckets - after);
  };
  constexpr CellRef kCells = 1'000'000;
  for (CellRef ref = 1; ref <= kCells; ref++) {
    measured([&] { cells.makeRoom(); });
    cells.add(ref, random());
  }
  CHECK(cells.heads.bucketCount() >= kCells * 3);
  for (CellRef ref = 1; ref <= kCells; ref++) measured([&] { cells.remove(ref); });
  CHECK(mostBuckets <= ChainTable::kStep);
  // A chain of a third of a cell on average: some are of three or four.
  CHECK(mostLooks <= 64);
}

TEST_CASE("a walk meets every cell that stays, whatever is added and taken away meanwhile") {
  const uint64_t seed = seedOf();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 60; round++) {
    Cells cells(64 * kMiB);
    auto add = [&](uint64_t count) {
      for (; count > 0; count--) {
        cells.makeRoom();
        cells.add(static_cast<CellRef>(cells.hash.size()), random());
      }
    };
    // The last of them stay.
    CellRef goes = 1;
    add(random() % 3000);
    CellRef firstThatStays = static_cast<CellRef>(cells.hash.size());
    add(1 + random() % 500);
    CellRef end = static_cast<CellRef>(cells.hash.size());
    std::vector<bool> met(end);
    uint64_t steps = 0;
    for (ChainTable::Place at = 0; at < ChainTable::kEnd; steps++) {
      for (CellRef ref = cells.heads.inBucketAt(at); ref; ref = cells.next[ref]) {
        if (ref < end) met[ref] = true;
      }
      at = cells.heads.after(at);
      if (round % 3 != 0) {
        for (uint64_t count = random() % 3; count > 0 && goes < firstThatStays; count--) cells.remove(goes++);
      }
      if (round % 3 != 1 && cells.count < 6000) add(random() % 3);
    }
    CAPTURE(round);
    REQUIRE(std::all_of(met.begin() + firstThatStays, met.end(), [](bool was) { return was; }));
    REQUIRE(steps <= 40'000);
  }
}

TEST_CASE("where the capacity has no room for heads the table says so before its chains are long") {
  Cells cells(2 * kMiB);
  // All of it, but for what a table of some heads takes.
  uint64_t taken = 0;
  while (cells.table.borrow(4096)) taken += 4096;
  cells.table.giveBack(4096);
  taken -= 4096;
  CellRef ref = 1;
  while (cells.makeRoom()) cells.add(ref, ref * 0x9e3779b97f4a7c15u), ref++;
  uint64_t heads = cells.heads.bucketCount();
  CHECK(cells.count == heads * ChainTable::kCellsPerHeadMost);
  // Long chains are split a few cells at a time, as soon as there is room again.
  cells.table.giveBack(taken);
  for (int i = 0; i < 1000; i++) {
    uint64_t before = cells.looks;
    REQUIRE(cells.makeRoom());
    REQUIRE(cells.looks - before <= ChainTable::kCellsAtOnce + 4 * ChainTable::kCellsPerHeadMost);
  }
  CHECK(cells.heads.bucketCount() > cells.count * 2);
  CHECK(cells.linked() == cells.count);
}
