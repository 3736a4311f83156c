#include "corpus.h"

#include <fcntl.h>
#include <lz4.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <unordered_set>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace tmemd::bench {

namespace {

constexpr size_t kPage = 4096;

// Sorts pages into the corpus, each content once.
class Sieve {
 public:
  Sieve(Corpus& corpus, size_t pagesMax) : corpus_(corpus), pagesMax_(pagesMax) {}

  bool full() const { return corpus_.pages.size() >= pagesMax_; }
  void add(const std::byte* bytes) {
    if (full() || std::memcmp(bytes, bytes + 8, kPage - 8) == 0) return;
    if (!seen_.insert(XXH3_64bits(bytes, kPage)).second) return;
    char out[LZ4_COMPRESSBOUND(kPage)];
    int length = LZ4_compress_default(reinterpret_cast<const char*>(bytes), out, kPage, sizeof out);
    CorpusPage page;
    std::memcpy(page.data(), bytes, kPage);
    if (length > 3800) {
      corpus_.stubborn.push_back(page);
    } else {
      corpus_.pages.push_back(page);
      lz4Bytes_ += static_cast<size_t>(length);
    }
  }
  void finish() {
    corpus_.meanLz4Bytes = static_cast<double>(lz4Bytes_) / static_cast<double>(std::max<size_t>(1, corpus_.pages.size()));
  }

 private:
  Corpus& corpus_;
  size_t pagesMax_;
  size_t lz4Bytes_ = 0;
  std::unordered_set<uint64_t> seen_;
};

void addFile(Sieve& sieve, const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  CorpusPage page;
  while (!sieve.full() && in.read(reinterpret_cast<char*>(page.data()), kPage)) sieve.add(page.data());
}

void addFolder(Sieve& sieve, const std::filesystem::path& folder, bool wholePagesOfMany) {
  std::error_code error;
  std::vector<std::byte> pending;
  using Walk = std::filesystem::recursive_directory_iterator;
  for (Walk it(folder, std::filesystem::directory_options::skip_permission_denied, error), end; it != end && !sieve.full();
       it.increment(error)) {
    if (error || !it->is_regular_file(error) || it->is_symlink(error)) continue;
    if (!wholePagesOfMany) {
      addFile(sieve, it->path());
      continue;
    }
    // Small files one after another, as a page cache or an archive has them.
    std::ifstream in(it->path(), std::ios::binary);
    std::vector<char> content((std::istreambuf_iterator<char>(in)), {});
    const std::byte* bytes = reinterpret_cast<const std::byte*>(content.data());
    pending.insert(pending.end(), bytes, bytes + content.size());
    size_t at = 0;
    for (; at + kPage <= pending.size(); at += kPage) sieve.add(pending.data() + at);
    pending.erase(pending.begin(), pending.begin() + static_cast<long>(at));
  }
}

// Private writable memory that is resident.
void addProcess(Sieve& sieve, pid_t pid) {
  std::string base = "/proc/" + std::to_string(pid);
  std::ifstream maps(base + "/maps");
  int memory = open((base + "/mem").c_str(), O_RDONLY | O_CLOEXEC);
  int pagemap = open((base + "/pagemap").c_str(), O_RDONLY | O_CLOEXEC);
  if (memory < 0 || pagemap < 0) throw std::runtime_error("cannot read the memory of process " + std::to_string(pid));
  std::string line;
  while (std::getline(maps, line) && !sieve.full()) {
    unsigned long from, to;
    char mode[5];
    if (sscanf(line.c_str(), "%lx-%lx %4s", &from, &to, mode) != 3 || std::strncmp(mode, "rw", 2) != 0) continue;
    if (mode[3] == 's' && line.find("memfd") == std::string::npos) continue;
    for (unsigned long at = from; at < to && !sieve.full(); at += kPage) {
      uint64_t entry = 0;
      CorpusPage page;
      if (pread(pagemap, &entry, 8, static_cast<off_t>(at / kPage * 8)) != 8 || !(entry >> 63)) continue;
      if (pread(memory, page.data(), kPage, static_cast<off_t>(at)) == static_cast<ssize_t>(kPage)) sieve.add(page.data());
    }
  }
  close(memory);
  close(pagemap);
}

// Runs a program until it has said "ready", reads its memory, ends it.
void addProgram(Sieve& sieve, const std::vector<std::string>& command) {
  int out[2];
  if (pipe(out) != 0) throw std::runtime_error("pipe failed");
  pid_t child = fork();
  if (child == 0) {
    dup2(out[1], 1);
    close(out[0]);
    close(out[1]);
    std::vector<char*> argv;
    for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    execvp(argv[0], argv.data());
    _exit(127);
  }
  close(out[1]);
  char byte;
  bool ready = read(out[0], &byte, 1) == 1;
  if (ready) addProcess(sieve, child);
  close(out[0]);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  if (!ready) throw std::runtime_error(command[0] + " did not run");
}

// Loads every module it finds, parses JSON and keeps it all.
constexpr const char* kNodeProgram = R"(
const fs = require('fs'), path = require('path'), keep = [];
let bytes = 0;
const limit = +process.argv[1];
const seen = JSON.parse(JSON.stringify(process.report ? process.report.getReport() : {}));
keep.push(seen);
function walk(folder) {
  let names = [];
  try { names = fs.readdirSync(folder, { withFileTypes: true }); } catch { return; }
  for (const name of names) {
    if (bytes > limit) return;
    const file = path.join(folder, name.name);
    if (name.isDirectory()) walk(file);
    else if (/\.(js|json|ts|map|md|h|py|txt)$/.test(name.name)) {
      try {
        const text = fs.readFileSync(file, 'utf8');
        bytes += text.length * 2;
        if (name.name.endsWith('.json') || name.name.endsWith('.map')) keep.push(JSON.parse(text));
        else keep.push(text.split('\n').map((line, i) => ({ line, i, file, words: line.split(/\W+/) })));
      } catch {}
    }
  }
}
for (const root of ['node_modules', '/usr/share', '/usr/lib/node_modules', '/usr/local', '/usr/include', '/usr/lib']) walk(root);
process.stdout.write('r');
setInterval(() => keep.length, 1e6);
)";

constexpr const char* kPythonProgram = R"(
import sys, os, ast, re, time
limit = int(sys.argv[1]); keep = []; size = 0
for root in ['/usr/lib/python3', '/usr/lib/python3.11', '/usr/share', '/usr/include', '/usr/lib']:
    for folder, _, names in os.walk(root):
        if size > limit: break
        for name in names:
            if not re.search(r'\.(py|h|txt|json|md)$', name): continue
            try:
                text = open(os.path.join(folder, name), encoding='utf8').read()
                size += len(text) * 6
                keep.append(ast.parse(text) if name.endswith('.py') else [(i, l, l.split()) for i, l in enumerate(text.split('\n'))])
            except Exception: pass
sys.stdout.write('r'); sys.stdout.flush(); time.sleep(1e6)
)";

}  // namespace

Corpus collect(const std::string& spec, size_t pagesMax) {
  Corpus corpus;
  corpus.name = spec;
  Sieve sieve(corpus, pagesMax);
  std::string heapBytes = std::to_string(pagesMax * kPage);
  if (spec == "node") {
    addProgram(sieve, {"node", "--max-old-space-size=8192", "-e", kNodeProgram, heapBytes});
  } else if (spec == "python") {
    addProgram(sieve, {"python3", "-c", kPythonProgram, heapBytes});
  } else if (spec == "bin") {
    addFolder(sieve, "/usr/bin", false);
    addFolder(sieve, "/usr/lib", false);
  } else if (spec == "text") {
    addFolder(sieve, "/usr/include", true);
    addFolder(sieve, "/usr/share", true);
  } else if (spec.starts_with("pid:")) {
    addProcess(sieve, std::stoi(spec.substr(4)));
  } else if (spec.starts_with("file:")) {
    addFile(sieve, spec.substr(5));
  } else {
    throw std::runtime_error("corpus " + spec + ": known are node, python, bin, text, pid:N, file:PATH");
  }
  sieve.finish();
  return corpus;
}

}  // namespace tmemd::bench
