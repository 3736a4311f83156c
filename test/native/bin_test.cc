// A bin alone: whose blocks it gives out.
#include "engine/bin.h"

#include <doctest/doctest.h>

#include <array>

using namespace tmemd;

namespace {

constexpr uint32_t kPageLength = 4096;

// A page of one byte, stored as it is.
struct Filler {
  Filler(SpanTable& table, uint32_t id, uint8_t byte) : bin(table, id, SpanKind::kShared, nullptr) {
    page.fill(std::byte{byte});
    held = bin.store({page.data(), kPageLength, Codec::kPlain, 0});
    REQUIRE(held != 0);
  }
  ~Filler() { bin.unref(held); }

  Bin bin;
  std::array<std::byte, kPageLength> page;
  Loc held = 0;
};

}  // namespace

TEST_CASE("a bin shares no block of a span that is another's") {
  SpanTable table(2 << 20, 1, -1);
  Filler one(table, 1, 0xaa);
  Filler two(table, 2, 0xbb);
  bool saturated;
  CHECK(!two.bin.tryShare(one.held, &saturated));
  CHECK(!one.bin.tryShare(two.held, &saturated));
  CHECK(one.bin.sums().references == 1);
  REQUIRE(one.bin.tryShare(one.held, &saturated));
  one.bin.unref(one.held);
}
