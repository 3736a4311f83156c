// What packing looks at where every span of a bin is nearly full, and what it leaves in a frame.
#include <doctest/doctest.h>

#include <algorithm>
#include <set>
#include <vector>

#include "engine/bin.h"
#include "native/store_fixture.h"

using namespace tmemd;

TEST_CASE("a store that finds no room looks at some spans, and the next one at others") {
  SpanTable table(16 << 20, 1, -1);
  Bin bin(table, 1, SpanKind::kShared, nullptr);
  Page page = randomPage(1);
  std::vector<Loc> held;
  auto store = [&](uint32_t lengthBytes) {
    Loc loc = bin.store({page.data(), lengthBytes, Codec::kLz4, 0});
    if (loc) held.push_back(loc);
    return loc != 0;
  };
  while (store(kPageBytes)) {
  }
  REQUIRE(bin.spanCount() > 200);
  // Fifteen to a span, which leaves 3,912 bytes; of one that is closed last, 4,048.
  bin.unref(held.front());
  held.erase(held.begin());
  REQUIRE(store(3960));
  // None of that size was free before: it is the hole's.
  REQUIRE(!store(kPageBytes));
  constexpr uint32_t kBytes = 4000;  // of the same list of 1 KiB as all of them
  uint32_t tries = 1;
  while (!store(kBytes) && tries < 20) tries++;
  CHECK(tries > 1);
  CHECK(tries <= bin.spanCount() / 64 + 1);
  CHECK(!store(kBytes));
  for (Loc loc : held) bin.unref(loc);
  CHECK(bin.liveBlocks() == 0);
}

TEST_CASE("a span that was packed holds nothing of what another bin had in that frame") {
  SpanTable table(16 << 20, 1, -1);
  // Stores blocks of one content into a bin, a part of which go, until holes were filled by packing.
  struct Filler {
    Bin bin;
    std::vector<std::byte> content;
    std::vector<Loc> held;

    void store() {
      held.push_back(bin.store({content.data(), static_cast<uint32_t>(content.size()), Codec::kLz4, 0}));
    }
    void makeHoles() {
      std::vector<Loc> kept;
      for (size_t i = 0; i < held.size(); i++) {
        if (i % 3 == 0)
          kept.push_back(held[i]);
        else
          bin.unref(held[i]);
      }
      held = kept;
    }
    ~Filler() {
      for (Loc loc : held) bin.unref(loc);
    }
  };
  constexpr size_t kBytes = 1000;
  constexpr int kStores = 2000;
  Filler one{{table, 1, SpanKind::kShared, nullptr}, std::vector<std::byte>(kBytes, std::byte{0xaa}), {}};
  Filler two{{table, 2, SpanKind::kShared, nullptr}, std::vector<std::byte>(kBytes, std::byte{0xbb}), {}};
  for (Filler* filler : {&one, &two}) {
    for (int i = 0; i < kStores; i++) filler->store();
    filler->makeHoles();
  }
  const uint64_t spans = two.bin.spanCount();
  const auto strange = [&] {
    std::set<SpanNumber> seen;
    for (Loc loc : two.held) seen.insert(spanOf(loc));
    return std::any_of(seen.begin(), seen.end(), [&](SpanNumber span) {
      const std::byte* bytes = table.bytes(span);
      const std::byte* end = bytes + kSpanBytes - table.header(span).blockCount * sizeof(Entry);
      return std::find(bytes + sizeof(SpanHeader), end, std::byte{0xaa}) != end;
    });
  };
  // Turn by turn: a spare holds what was packed last.
  for (int i = 0; i < kStores / 8; i++) {
    one.store();
    two.store();
    if (i % 4 == 0) REQUIRE(!strange());
  }
  CHECK(two.bin.spanCount() <= spans + 1);  // so holes were filled
}
