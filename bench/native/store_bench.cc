// The engine's bench: one process, one store at a time, one JSON document.
//
//   store_bench [--corpus SPEC] [--later SPEC] [--pages N] [--trial NAME]...
//
// Corpora: see corpus.h. Trials: put get cheap stubborn density settle flush churn evict
// giveback threads scale (100 thousand pages and --scale-pages, 8 million by
// default). Without --trial: all but scale. Progress goes to stderr.
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

#include "trials.h"

using namespace tmemd::bench;

namespace {

struct Arguments {
  std::string corpus = "bin";
  std::string later = "text";
  size_t pages = 65536;
  size_t scalePages = 8000000;
  std::vector<std::string> trials;
};

Arguments parse(int argc, char** argv) {
  Arguments a;
  for (int i = 1; i < argc; i += 2) {
    std::string key = argv[i];
    if (i + 1 == argc) throw std::runtime_error(key + ": a value is missing");
    std::string value = argv[i + 1];
    if (key == "--corpus") {
      a.corpus = value;
    } else if (key == "--later") {
      a.later = value;
    } else if (key == "--pages") {
      a.pages = std::stoul(value);
    } else if (key == "--scale-pages") {
      a.scalePages = std::stoul(value);
    } else if (key == "--trial") {
      a.trials.push_back(value);
    } else {
      throw std::runtime_error(key + ": known are --corpus --later --pages --scale-pages --trial");
    }
  }
  if (a.trials.empty()) {
    a.trials = {"put", "get", "cheap", "stubborn", "density", "settle", "flush", "churn", "evict", "giveback", "threads"};
  }
  return a;
}

void runTrial(const std::string& name, const Arguments& a, const Corpus& corpus, Figures& out) {
  if (name == "put") return putTrial(corpus, out);
  if (name == "get") return getTrial(corpus, out);
  if (name == "cheap") return cheapPutTrial(corpus, out);
  if (name == "stubborn") return stubbornTrial(corpus, out);
  if (name == "density") return densityTrial(corpus, out);
  if (name == "settle") return settleTrial(corpus, out);
  if (name == "flush") return flushTrial(corpus, out);
  if (name == "churn") return churnTrial(corpus, collect(a.later, a.pages), out);
  if (name == "evict") return evictTrial(corpus, out);
  if (name == "giveback") return giveBackTrial(corpus, out);
  if (name == "threads") return threadsTrial(corpus, out);
  if (name == "scale") {
    scaleTrial(corpus, 100000, "100k", out);
    return scaleTrial(corpus, a.scalePages, "large", out);
  }
  throw std::runtime_error("trial " + name + " is not known");
}

}  // namespace

int main(int argc, char** argv) {
  try {
    Arguments a = parse(argc, argv);
    std::fprintf(stderr, "collecting corpus %s\n", a.corpus.c_str());
    Corpus corpus = collect(a.corpus, a.pages);
    if (corpus.pages.size() < 2048) throw std::runtime_error("corpus " + a.corpus + " has too few pages here");
    Figures figures;
    for (const std::string& trial : a.trials) {
      std::fprintf(stderr, "%s\n", trial.c_str());
      runTrial(trial, a, corpus, figures);
    }
    std::printf("{\"corpus\":\"%s\",\"pages\":%zu,\"stubborn_pages\":%zu,\"mean_lz4_bytes\":%.1f", corpus.name.c_str(),
                corpus.pages.size(), corpus.stubborn.size(), corpus.meanLz4Bytes);
    for (const auto& [name, value] : figures) std::printf(",\n \"%s\":%.4f", name.c_str(), value);
    std::printf("}\n");
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "store_bench: %s\n", error.what());
    return 1;
  }
}
