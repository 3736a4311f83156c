// collect SPEC PAGES FILE: writes a corpus of at most that many pages, raw, to FILE,
// and the hardly compressible pages met on the way to FILE.stubborn. SPEC is one of
//
//   node        the heap of a Node process that has loaded and parsed much
//   python      the heap of a Python process, likewise
//   bin         programs and shared libraries of this machine
//   text        headers and documentation of this machine
//   pid:N       private writable memory of a running process
//   file:PATH   raw pages, such as a dump of a guest's memory
//   mix:ZERO,DUPLICATE,INCOMPRESSIBLE:SPEC   percentages of such pages among those of SPEC
//
// All but mixes go through the sieve (sieve.h).
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <stdexcept>

#include "bench/collect/files.h"
#include "bench/collect/mix.h"
#include "bench/collect/process.h"
#include "bench/collect/sieve.h"

namespace {

using namespace tmemd::bench;

Sieve sieved(const std::string& spec, size_t pagesMax) {
  Sieve sieve(pagesMax);
  if (spec == "node") {
    addProgram(sieve, nodeHeap(pagesMax * kPage));
  } else if (spec == "python") {
    addProgram(sieve, pythonHeap(pagesMax * kPage));
  } else if (spec == "bin") {
    addFilesBelow(sieve, "/usr/bin");
    addFilesBelow(sieve, "/usr/lib");
  } else if (spec == "text") {
    addTextBelow(sieve, "/usr/include");
    addTextBelow(sieve, "/usr/share");
  } else if (spec.starts_with("pid:")) {
    addProcess(sieve, std::atoi(spec.c_str() + 4));
  } else if (spec.starts_with("file:")) {
    addFile(sieve, spec.substr(5));
  } else {
    throw std::runtime_error("corpus " + spec +
                             ": known are node, python, bin, text, guest, pid:N, file:PATH and "
                             "mix:ZERO,DUPLICATE,INCOMPRESSIBLE:CORPUS");
  }
  return sieve;
}

void write(const std::string& file, const std::vector<RawPage>& pages) {
  std::ofstream out(file, std::ios::binary);
  out.write(reinterpret_cast<const char*>(pages.data()), static_cast<std::streamsize>(pages.size() * kPage));
  out.close();
  if (!out) throw std::runtime_error("cannot write " + file);
}

void collect(const std::string& spec, size_t pagesMax, const std::string& file) {
  constexpr std::string_view kMix = "mix:";
  const size_t colon = spec.find(':', kMix.size());
  if (!spec.starts_with(kMix) || colon == std::string::npos) {
    const Sieve sieve = sieved(spec, pagesMax);
    write(file, sieve.pages());
    write(file + ".stubborn", sieve.stubborn());
    return;
  }
  const Mix mix = parseMix(spec.substr(kMix.size(), colon - kMix.size()));
  write(file, mixed(mix, sieved(spec.substr(colon + 1), pagesMax).pages(), pagesMax));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: collect SPEC PAGES FILE\n");
    return 2;
  }
  try {
    collect(argv[1], std::strtoull(argv[2], nullptr, 10), argv[3]);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "collect: %s\n", error.what());
    return 1;
  }
}
