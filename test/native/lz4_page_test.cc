// The encoder against liblz4: its decoder must give the page back, and its encoder says how
// short a block could be.
#include "engine/lz4_page.h"

#include <doctest/doctest.h>
#include <lz4.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "engine/xxh3.h"
#include "native/patterns.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

using namespace tmemd;

namespace {

constexpr size_t kPage = Lz4PageEncoder::kPageLength;

// Memory of exactly the size that may be touched, so that the address sanitizer sees the ends.
struct Encoded {
  std::vector<std::byte> out = std::vector<std::byte>(Lz4PageEncoder::kRoomBytes);
  uint32_t length = 0;
};

Encoded encode(Lz4PageEncoder& encoder, const std::vector<std::byte>& page) {
  std::vector<std::byte> in(kPage + Lz4PageEncoder::kReadBeyondBytes, std::byte{0x55});
  std::copy(page.begin(), page.end(), in.begin());
  Encoded encoded;
  encoded.length = encoder.encode(in.data(), encoded.out.data());
  return encoded;
}

bool decodesTo(const Encoded& encoded, const std::vector<std::byte>& page) {
  std::vector<std::byte> back(kPage);
  std::vector<std::byte> in(encoded.out.begin(), encoded.out.begin() + encoded.length);
  return LZ4_decompress_safe(reinterpret_cast<const char*>(in.data()), reinterpret_cast<char*>(back.data()),
                             static_cast<int>(in.size()), kPage) == static_cast<int>(kPage) &&
         back == page;
}

int lengthOfLibrary(const std::vector<std::byte>& page) {
  std::vector<char> out(LZ4_COMPRESSBOUND(kPage));
  return LZ4_compress_default(reinterpret_cast<const char*>(page.data()), out.data(), kPage, static_cast<int>(out.size()));
}

}  // namespace

TEST_CASE("every block decodes to the page, whatever the encoder saw before") {
  uint64_t seed = std::random_device()();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  auto used = std::make_unique<Lz4PageEncoder>();
  uint64_t mine = 0, librarys = 0;
  for (int i = 0; i < 3000; i++) {
    std::vector<std::byte> page = patchwork(random);
    Encoded encoded = encode(*used, page);
    // Nothing of earlier pages shows, in the result or in the decision to give up.
    Encoded alone = encode(*std::make_unique<Lz4PageEncoder>(), page);
    REQUIRE(encoded.length == alone.length);
    REQUIRE(encoded.out == alone.out);
    if (encoded.length == 0) continue;
    REQUIRE(decodesTo(encoded, page));
    mine += encoded.length;
    librarys += static_cast<uint64_t>(lengthOfLibrary(page));
  }
  CHECK(mine <= librarys + librarys / 200);
}

TEST_CASE("matches at both ends, of all lengths and distances, decode") {
  std::mt19937_64 random(3);
  Lz4PageEncoder encoder;
  for (size_t length : {4, 5, 7, 8, 12, 13, 18, 19, 20, 272, 273, 274, 528, 2000}) {
    for (size_t from : {size_t{0}, size_t{1}, size_t{500}}) {
      for (size_t to : {size_t{600}, kPage - length - 13, kPage - length - 12, kPage - length - 5, kPage - length}) {
        // Compressible everywhere else, so that it is not given up.
        std::vector<std::byte> page(kPage);
        for (size_t i = 0; i < kPage; i++) page[i] = static_cast<std::byte>(i % 5 ? i % 3 : random());
        for (size_t i = 0; i < length && to + i < kPage; i++) page[to + i] = page[from + i];
        Encoded encoded = encode(encoder, page);
        CAPTURE(length);
        CAPTURE(to);
        REQUIRE(encoded.length > 0);
        REQUIRE(decodesTo(encoded, page));
      }
    }
  }
}

TEST_CASE("pages of one byte shrink as with the library") {
  Lz4PageEncoder encoder;
  for (int value = 0; value < 256; value += 51) {
    std::vector<std::byte> page(kPage, static_cast<std::byte>(value));
    Encoded encoded = encode(encoder, page);
    CHECK(encoded.length == static_cast<uint32_t>(lengthOfLibrary(page)));
    CHECK(decodesTo(encoded, page));
  }
}

TEST_CASE("noise is given up, noise with something in it is not") {
  std::mt19937_64 random(5);
  Lz4PageEncoder encoder;
  for (int i = 0; i < 100; i++) {
    std::vector<std::byte> page = noise(random);
    CHECK(encode(encoder, page).length == 0);
    // Wherever a third of it is zeros: the start alone does not decide, nor do the pieces.
    for (size_t at : {size_t{0}, size_t{1024}, size_t{2700}}) {
      std::vector<std::byte> half = page;
      std::fill(half.begin() + static_cast<long>(at), half.begin() + static_cast<long>(at + kPage / 3), std::byte{0});
      Encoded encoded = encode(encoder, half);
      CHECK(encoded.length > 0);
      CHECK(decodesTo(encoded, half));
    }
  }
}

TEST_CASE("the hash is XXH3-64 at every length, by whichever vectors") {
  std::mt19937_64 random(7);
  std::vector<std::byte> page = noise(random), secret = noise(random);
  for (size_t length = 0; length <= kPage; length += length < 600 ? 1 : 173) {
    CAPTURE(length);
    CHECK(xxh3(page.data(), length, secret.data(), 192) ==
          XXH3_64bits_withSecret(page.data(), length, secret.data(), 192));
  }
}
