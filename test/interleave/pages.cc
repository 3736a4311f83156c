#include "interleave/pages.h"

#include <cstring>
#include <vector>

namespace interleave {

using tmemd::Page;

namespace {

const std::vector<Page>& pages() {
  static const std::vector<Page> made = [] {
    std::vector<Page> all;
    for (uint32_t number = 0; number < kPages; number++) {
      Page page = number < 16 ? tmemd::textPage(number) : tmemd::randomPage(number);
      std::memcpy(page.data(), &number, sizeof number);
      all.push_back(page);
    }
    return all;
  }();
  return made;
}

}  // namespace

const Page& pageOf(uint32_t number) { return pages()[number]; }

uint32_t numberOf(const Page& page) {
  uint32_t number;
  std::memcpy(&number, page.data(), sizeof number);
  return number < kPages && std::memcmp(page.data(), pageOf(number).data(), sizeof(Page)) == 0 ? number : kNobodysPage;
}

Page fillerPage(uint32_t number) {
  Page page = pageOf(16 + number % 16);
  std::memcpy(page.data(), &number, sizeof number);
  std::memset(page.data() + sizeof number, 0xff, sizeof number);
  return page;
}

}  // namespace interleave
