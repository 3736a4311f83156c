// Controlled mixes: pages of a corpus with same-filled, duplicate and
// incompressible ones strewn among them.
#ifndef TMEMD_BENCH_COLLECT_MIX_H_
#define TMEMD_BENCH_COLLECT_MIX_H_

#include <string>
#include <vector>

#include "bench/collect/sieve.h"

namespace tmemd::bench {

// Per cent of all pages; the rest is the corpus's own.
struct Mix {
  unsigned zero = 0;
  unsigned duplicate = 0;       // of a page that came before
  unsigned incompressible = 0;  // random bytes
};

// "20,30,10". Throws std::runtime_error when it is not three whole numbers of a sum of at most 90.
Mix parseMix(const std::string& text);

// At most pagesMax pages in an order the seed fixes; fewer when `own` runs out.
std::vector<RawPage> mixed(const Mix& mix, const std::vector<RawPage>& own, size_t pagesMax);

}  // namespace tmemd::bench

#endif  // TMEMD_BENCH_COLLECT_MIX_H_
