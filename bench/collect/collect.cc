// collect SPEC PAGES FILE: writes a corpus (native/corpus.h says which there
// are) as raw pages, for the subcommands that are not of the engine's bench.
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>

#include "bench/native/corpus.h"

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: collect SPEC PAGES FILE\n");
    return 2;
  }
  try {
    const tmemd::bench::Corpus corpus = tmemd::bench::collect(argv[1], std::strtoull(argv[2], nullptr, 10));
    std::ofstream out(argv[3], std::ios::binary);
    for (const tmemd::bench::CorpusPage& page : corpus.pages)
      out.write(reinterpret_cast<const char*>(page.data()), static_cast<std::streamsize>(page.size()));
    out.close();
    if (out) return 0;
    std::fprintf(stderr, "collect: cannot write %s\n", argv[3]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "collect: %s\n", error.what());
  }
  return 1;
}
