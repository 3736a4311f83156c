// Comparing a page with a block against decoding the block byte by byte, as the LZ4 block
// format describes it, and comparing then: the two must agree on every block, damaged ones too.
#include "engine/lz4_compare.h"

#include <doctest/doctest.h>
#include <lz4.h>
#include <lz4hc.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "native/patterns.h"

using namespace tmemd;

namespace {

using Bytes = std::vector<std::byte>;

Bytes blockOf(const Bytes& page, bool hard) {
  Bytes block(LZ4_COMPRESSBOUND(kPatternBytes));
  const char* in = reinterpret_cast<const char*>(page.data());
  char* out = reinterpret_cast<char*>(block.data());
  int room = static_cast<int>(block.size());
  int length = hard ? LZ4_compress_HC(in, out, kPatternBytes, room, LZ4HC_CLEVEL_DEFAULT)
                    : LZ4_compress_default(in, out, kPatternBytes, room);
  block.resize(static_cast<size_t>(length));
  return block;
}

// What a block stands for; none when it breaks the format or stands for more than a page.
std::optional<Bytes> decoded(const Bytes& block) {
  Bytes page;
  size_t at = 0;
  auto next = [&]() -> std::optional<uint32_t> {
    if (at == block.size()) return std::nullopt;
    return std::to_integer<uint32_t>(block[at++]);
  };
  auto counted = [&](uint32_t count) -> std::optional<uint32_t> {
    for (uint32_t more = count == 15 ? 255 : 0; more == 255; count += more) {
      std::optional<uint32_t> byte = next();
      if (!byte) return std::nullopt;
      more = *byte;
    }
    return count;
  };
  while (std::optional<uint32_t> token = next()) {
    std::optional<uint32_t> literals = counted(*token >> 4);
    if (!literals || *literals > block.size() - at) return std::nullopt;
    for (uint32_t i = 0; i < *literals; i++) page.push_back(block[at++]);
    if (at == block.size()) return page;
    std::optional<uint32_t> low = next(), high = next();
    std::optional<uint32_t> count = counted(*token & 15);
    if (!low || !high || !count) return std::nullopt;
    uint32_t distance = *low | *high << 8;
    if (distance == 0 || distance > page.size() || page.size() + *count + 4 > kPatternBytes) return std::nullopt;
    for (uint32_t i = 0; i < *count + 4; i++) page.push_back(page[page.size() - distance]);
  }
  return std::nullopt;
}

// Memory of exactly the size that may be read, so that the address sanitizer sees the ends.
bool holds(const Bytes& block, const Bytes& page) {
  auto in = std::make_unique<std::byte[]>(block.size());
  std::copy(block.begin(), block.end(), in.get());
  auto beside = std::make_unique<std::byte[]>(kPatternBytes + kLz4CompareBeyondBytes);
  std::copy(page.begin(), page.end(), beside.get());
  return lz4Holds(in.get(), static_cast<uint32_t>(block.size()), beside.get());
}

Bytes pageOfKind(std::mt19937_64& random, int kind) {
  if (kind % 8 == 7) return noise(random);
  return patchwork(random);
}

}  // namespace

TEST_CASE("a page's own block holds it, and no page that differs in one byte" * doctest::skip(!canCompareLz4())) {
  std::mt19937_64 random(1);
  for (int kind = 0; kind < 2000; kind++) {
    CAPTURE(kind);
    Bytes page = pageOfKind(random, kind);
    Bytes block = blockOf(page, kind % 2 == 1);
    REQUIRE(holds(block, page));
    for (int i = 0; i < 8; i++) {
      Bytes other = page;
      other[i < 2 ? i * (kPatternBytes - 1) : random() % kPatternBytes] ^= static_cast<std::byte>(1 << random() % 8);
      REQUIRE(!holds(block, other));
    }
  }
}

TEST_CASE("of a damaged or shortened block it says what decoding it would" * doctest::skip(!canCompareLz4())) {
  std::mt19937_64 random(2);
  int stillHold = 0;
  for (int kind = 0; kind < 1000; kind++) {
    CAPTURE(kind);
    Bytes page = pageOfKind(random, kind);
    Bytes block = blockOf(page, kind % 2 == 1);
    for (int i = 0; i < 20; i++) {
      Bytes damaged = block;
      if (i % 5 == 4) {
        damaged.resize(random() % damaged.size());
      } else {
        damaged[random() % damaged.size()] = static_cast<std::byte>(random());
      }
      std::optional<Bytes> meant = decoded(damaged);
      bool same = meant && *meant == page;
      stillHold += same;
      REQUIRE(holds(damaged, page) == same);
      // The page it came to, if it came to one, is held as well.
      if (meant && meant->size() == kPatternBytes) REQUIRE(holds(damaged, *meant));
    }
  }
  CHECK(stillHold > 0);
}

TEST_CASE("bytes that never were a block are refused or held by what they stand for" * doctest::skip(!canCompareLz4())) {
  std::mt19937_64 random(3);
  Bytes page(kPatternBytes);
  for (int i = 0; i < 20000; i++) {
    Bytes block(random() % 64);
    for (std::byte& byte : block) byte = static_cast<std::byte>(random() % 4 == 0 ? 255 : random());
    std::optional<Bytes> meant = decoded(block);
    REQUIRE(holds(block, page) == (meant && *meant == page));
  }
}
