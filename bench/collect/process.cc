#include "bench/collect/process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <stdexcept>

namespace tmemd::bench {

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
      RawPage page;
      if (pread(pagemap, &entry, 8, static_cast<off_t>(at / kPage * 8)) != 8 || !(entry >> 63)) continue;
      if (pread(memory, page.data(), kPage, static_cast<off_t>(at)) == static_cast<ssize_t>(kPage)) sieve.add(page.data());
    }
  }
  close(memory);
  close(pagemap);
}

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

}  // namespace tmemd::bench
