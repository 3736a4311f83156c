// Pages out of the memory of running processes.
#ifndef TMEMD_BENCH_COLLECT_PROCESS_H_
#define TMEMD_BENCH_COLLECT_PROCESS_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "bench/collect/sieve.h"

namespace tmemd::bench {

// Resident private writable memory, memfds included. Throws std::runtime_error
// when it cannot be read.
void addProcess(Sieve& sieve, pid_t pid);

// Runs a program until it writes its first byte, reads its memory, ends it.
// Throws std::runtime_error when it never gets there.
void addProgram(Sieve& sieve, const std::vector<std::string>& command);

// Command lines of programs that read about that much into memory and then wait.
std::vector<std::string> nodeHeap(size_t bytes);
std::vector<std::string> pythonHeap(size_t bytes);

}  // namespace tmemd::bench

#endif  // TMEMD_BENCH_COLLECT_PROCESS_H_
