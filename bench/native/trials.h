// What is measured of the engine, a file each. Every trial makes its own store.
#ifndef TMEMD_BENCH_NATIVE_TRIALS_H_
#define TMEMD_BENCH_NATIVE_TRIALS_H_

#include "bench_store.h"
#include "corpus.h"
#include "figures.h"
#include "floor.h"

namespace tmemd::bench {

void putTrial(const Corpus& corpus, Figures& out);
void getTrial(const Corpus& corpus, Figures& out);
void cheapPutTrial(const Corpus& corpus, Figures& out);
void stubbornTrial(const Corpus& corpus, Figures& out);
void densityTrial(const Corpus& corpus, Figures& out);
void settleTrial(const Corpus& corpus, Figures& out);
void timelineTrial(const Corpus& corpus, Figures& out);
void flushTrial(const Corpus& corpus, size_t pageCount, Figures& out);
void controlTrial(const Corpus& corpus, Figures& out);
void churnTrial(const Corpus& corpus, const Corpus& later, size_t steps, Figures& out);
void evictTrial(const Corpus& corpus, Figures& out);
void threadsTrial(const Corpus& corpus, Figures& out);
void recoverTrial(const Corpus& corpus, size_t pageCount, Figures& out);
void scaleTrial(const Corpus& corpus, size_t pageCount, Figures& out);

// Random gets, one at a time and in batches, of the pages a store holds under
// the keys 0 .. keys-1: key k holds page k mod `pages` of the compressed corpus
// or something as large. Adds NAME_us, NAME_floor_us and NAME_ratio by batch.
void measureGets(BenchStore& bench, const CompressedCorpus& compressed, size_t pages, size_t keys,
                 std::span<const size_t> batches, const std::string& name, Figures& out);

}  // namespace tmemd::bench

#endif  // TMEMD_BENCH_NATIVE_TRIALS_H_
