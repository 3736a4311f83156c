// The engine's bench, in a process of its own for every trial (bench/store.ts):
//
//   store_bench --corpus FILE --trial NAME [--later FILE] [--held N] [--steps N]
//
// FILE as `collect` writes it. Trials: put get cheap stubborn density settle
// timeline flush control churn evict threads scale recover. --later is the corpus churn shifts to,
// --steps the operations it does; --held the pages scale, recover and flush hold.
// Prints one JSON array of figures (figures.h). Exit status 3: this machine cannot do
// the trial, and the reason on stderr.
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>

#include "trials.h"

using namespace tmemd::bench;

namespace {

constexpr size_t kFewestPages = 2048;
constexpr int kNotHereStatus = 3;

struct Arguments {
  std::string corpus;
  std::string later;
  std::string trial;
  size_t held = 1000000;
  size_t steps = 10000000;
};

Arguments parse(int argc, char** argv) {
  Arguments a;
  const std::map<std::string, std::function<void(const char*)>> known = {
      {"--corpus", [&](const char* value) { a.corpus = value; }},
      {"--later", [&](const char* value) { a.later = value; }},
      {"--trial", [&](const char* value) { a.trial = value; }},
      {"--held", [&](const char* value) { a.held = std::strtoull(value, nullptr, 10); }},
      {"--steps", [&](const char* value) { a.steps = std::strtoull(value, nullptr, 10); }},
  };
  for (int i = 1; i < argc; i += 2) {
    const auto option = known.find(argv[i]);
    if (option == known.end() || i + 1 == argc)
      throw std::runtime_error(std::string(argv[i]) + ": unknown, or its value is missing");
    option->second(argv[i + 1]);
  }
  return a;
}

Corpus load(const std::string& file) {
  Corpus corpus = loadCorpus(file);
  if (corpus.pages.size() >= kFewestPages) return corpus;
  throw std::runtime_error(file + " has " + std::to_string(corpus.pages.size()) + " pages, needed: " +
                           std::to_string(kFewestPages));
}

void runTrial(const Arguments& a, Figures& out) {
  const std::map<std::string, std::function<void(const Corpus&)>> known = {
      {"put", [&](const Corpus& corpus) { putTrial(corpus, out); }},
      {"get", [&](const Corpus& corpus) { getTrial(corpus, out); }},
      {"cheap", [&](const Corpus& corpus) { cheapPutTrial(corpus, out); }},
      {"stubborn", [&](const Corpus& corpus) { stubbornTrial(corpus, out); }},
      {"density", [&](const Corpus& corpus) { densityTrial(corpus, out); }},
      {"settle", [&](const Corpus& corpus) { settleTrial(corpus, out); }},
      {"timeline", [&](const Corpus& corpus) { timelineTrial(corpus, out); }},
      {"flush", [&](const Corpus& corpus) { flushTrial(corpus, a.held, out); }},
      {"control", [&](const Corpus& corpus) { controlTrial(corpus, out); }},
      {"churn", [&](const Corpus& corpus) { churnTrial(corpus, load(a.later), a.steps, out); }},
      {"evict", [&](const Corpus& corpus) { evictTrial(corpus, out); }},
      {"threads", [&](const Corpus& corpus) { threadsTrial(corpus, out); }},
      {"recover", [&](const Corpus& corpus) { recoverTrial(corpus, a.held, out); }},
      {"scale", [&](const Corpus& corpus) { scaleTrial(corpus, a.held, out); }},
  };
  const auto trial = known.find(a.trial);
  if (trial == known.end()) throw std::runtime_error("trial '" + a.trial + "' is not known");
  trial->second(load(a.corpus));
}

}  // namespace

int main(int argc, char** argv) {
  try {
    Figures figures;
    runTrial(parse(argc, argv), figures);
    figures.print(stdout);
    return 0;
  } catch (const NotHere& reason) {
    std::fprintf(stderr, "%s\n", reason.what());
    return kNotHereStatus;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "store_bench: %s\n", error.what());
    return 1;
  }
}
