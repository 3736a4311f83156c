// Contents of a page that try an encoder and what reads its blocks.
#ifndef TMEMD_TEST_NATIVE_PATTERNS_H_
#define TMEMD_TEST_NATIVE_PATTERNS_H_

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

namespace tmemd {

inline constexpr size_t kPatternBytes = 4096;

// Runs of noise, of one byte, of few values, and copies from before, of any lengths.
inline std::vector<std::byte> patchwork(std::mt19937_64& random) {
  std::vector<std::byte> page;
  uint64_t longest = uint64_t{1} << (random() % 12 + 1);
  while (page.size() < kPatternBytes) {
    size_t length = random() % longest + 1;
    uint64_t kind = random() % 4;
    std::byte value{static_cast<uint8_t>(random())};
    size_t distance = page.empty() ? 0 : random() % page.size() + 1;
    for (size_t i = 0; i < length && page.size() < kPatternBytes; i++) {
      if (kind == 0) page.push_back(static_cast<std::byte>(random()));
      if (kind == 1) page.push_back(value);
      if (kind == 2) page.push_back(static_cast<std::byte>(random() % 3));
      if (kind == 3) page.push_back(distance ? page[page.size() - distance] : value);
    }
  }
  return page;
}

inline std::vector<std::byte> noise(std::mt19937_64& random) {
  std::vector<std::byte> page(kPatternBytes);
  for (std::byte& byte : page) byte = static_cast<std::byte>(random());
  return page;
}

}  // namespace tmemd

#endif  // TMEMD_TEST_NATIVE_PATTERNS_H_
