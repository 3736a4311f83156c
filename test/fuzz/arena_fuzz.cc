// An arena whose bytes were damaged anywhere, as recovery may find it: it is refused, or every page
// is right or CORRUPT (native/damaged_arena.h).
//
//   input   [place 4][kind 1][word 4] ... each one damage of the sample arena
#define DOCTEST_CONFIG_IMPLEMENT
#include "native/damaged_arena.h"

#include <cstdio>
#include <cstdlib>

using namespace tmemd;

namespace {

constexpr size_t kDamageBytes = 9;
constexpr size_t kDamagesMax = 64;

// The sample's assertions stand outside a doctest case.
void failLoudly() {
  static doctest::Context context;
  context.setAsDefaultForAssertsOutOfTestCases();
  context.setAssertHandler([](const doctest::AssertData& failed) {
    if (failed.m_failed) std::abort();
  });
}

// Never written parts of the file are most of it: places are counted among the bytes in use.
std::vector<uint32_t> wordsInUse(const Image& image) {
  std::vector<uint32_t> used;
  for (uint32_t at = 0; at + 8 <= image.size(); at += 8) {
    uint64_t word;
    std::memcpy(&word, image.data() + at, 8);
    if (word != 0) used.push_back(at);
  }
  return used;
}

void damage(Image& image, uint32_t at, uint8_t kind, uint32_t word) {
  uint32_t now;
  std::memcpy(&now, image.data() + at, 4);
  switch (kind % 4) {
    case 0:
      now = word;
      break;
    case 1:
      now ^= word;
      break;
    case 2:
      now += word;
      break;
    default: {
      const size_t count = std::min<size_t>(image.size() - at, word % 8192);
      std::memset(image.data() + at, 0, count);
      return;
    }
  }
  std::memcpy(image.data() + at, &now, 4);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t sizeBytes) {
  failLoudly();
  static const Sample sample;
  static const std::vector<uint32_t> used = wordsInUse(sample.image);
  static MemoryFile file;
  Image image = sample.image;
  for (size_t i = 0; i < kDamagesMax && (i + 1) * kDamageBytes <= sizeBytes; i++) {
    uint32_t place, word;
    std::memcpy(&place, data + i * kDamageBytes, 4);
    std::memcpy(&word, data + i * kDamageBytes + 5, 4);
    damage(image, used[place / 2 % used.size()] + place % 2 * 4, data[i * kDamageBytes + 4], word);
  }
  Tally tally;
  const std::string wrong = tryImage(sample, file, image, tally);
  if (!wrong.empty()) {
    std::fprintf(stderr, "broken: %s\n", wrong.c_str());
    std::abort();
  }
  return 0;
}
