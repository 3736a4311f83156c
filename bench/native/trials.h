// What is measured of the engine. Each trial makes its own store.
#ifndef TMEMD_BENCH_NATIVE_TRIALS_H_
#define TMEMD_BENCH_NATIVE_TRIALS_H_

#include <map>
#include <string>

#include "corpus.h"

namespace tmemd::bench {

using Figures = std::map<std::string, double>;

// Adds figures named for what they are; times in microseconds or nanoseconds a page
// as their names say, ratios against the arithmetic floor on the same pages.
void putTrial(const Corpus& corpus, Figures& out);
void getTrial(const Corpus& corpus, Figures& out);
void cheapPutTrial(const Corpus& corpus, Figures& out);
void stubbornTrial(const Corpus& corpus, Figures& out);
void densityTrial(const Corpus& corpus, Figures& out);
void settleTrial(const Corpus& corpus, Figures& out);
void flushTrial(const Corpus& corpus, Figures& out);
void churnTrial(const Corpus& corpus, const Corpus& later, Figures& out);
void evictTrial(const Corpus& corpus, Figures& out);
void giveBackTrial(const Corpus& corpus, Figures& out);
void threadsTrial(const Corpus& corpus, Figures& out);
void scaleTrial(const Corpus& corpus, size_t pages, const std::string& label, Figures& out);

}  // namespace tmemd::bench

#endif  // TMEMD_BENCH_NATIVE_TRIALS_H_
