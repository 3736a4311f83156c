// How much one store looks at where every span of a bin is nearly full.
#include <doctest/doctest.h>

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
