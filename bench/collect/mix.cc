#include "bench/collect/mix.h"

#include <cstdio>
#include <cstring>
#include <random>
#include <stdexcept>

namespace tmemd::bench {

namespace {

constexpr unsigned kMixedMax = 90;

RawPage randomPage(std::mt19937_64& random) {
  RawPage page;
  for (size_t at = 0; at < kPage; at += 8) {
    const uint64_t word = random();
    std::memcpy(page.data() + at, &word, 8);
  }
  return page;
}

}  // namespace

Mix parseMix(const std::string& text) {
  Mix mix;
  int end = 0;
  const int read = std::sscanf(text.c_str(), "%2u,%2u,%2u%n", &mix.zero, &mix.duplicate, &mix.incompressible, &end);
  if (read != 3 || static_cast<size_t>(end) != text.size() ||
      mix.zero + mix.duplicate + mix.incompressible > kMixedMax)
    throw std::runtime_error("mix " + text + ": allowed are three percentages ZERO,DUPLICATE,INCOMPRESSIBLE of at most " +
                             std::to_string(kMixedMax) + " together");
  return mix;
}

std::vector<RawPage> mixed(const Mix& mix, const std::vector<RawPage>& own, size_t pagesMax) {
  std::mt19937_64 random(1);
  std::vector<RawPage> pages;
  size_t ownTaken = 0;
  while (pages.size() < pagesMax) {
    const unsigned draw = static_cast<unsigned>(random() % 100);
    if (draw < mix.zero) {
      pages.push_back(RawPage{});
    } else if (draw < mix.zero + mix.duplicate && ownTaken > 0) {
      pages.push_back(own[random() % ownTaken]);
    } else if (draw >= mix.zero + mix.duplicate && draw < mix.zero + mix.duplicate + mix.incompressible) {
      pages.push_back(randomPage(random));
    } else if (ownTaken < own.size()) {
      pages.push_back(own[ownTaken++]);
    } else {
      break;
    }
  }
  return pages;
}

}  // namespace tmemd::bench
