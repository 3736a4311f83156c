// Pages out of files.
#ifndef TMEMD_BENCH_COLLECT_FILES_H_
#define TMEMD_BENCH_COLLECT_FILES_H_

#include <filesystem>

#include "bench/collect/sieve.h"

namespace tmemd::bench {

// The file's whole pages. Throws std::runtime_error when it cannot be read.
void addFile(Sieve& sieve, const std::filesystem::path& path);

// The whole pages of every file below; what cannot be read is passed over.
void addFilesBelow(Sieve& sieve, const std::filesystem::path& folder);

// All files below one after another, cut into pages, as an archive has them.
void addTextBelow(Sieve& sieve, const std::filesystem::path& folder);

}  // namespace tmemd::bench

#endif  // TMEMD_BENCH_COLLECT_FILES_H_
