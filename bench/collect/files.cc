#include "bench/collect/files.h"

#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace tmemd::bench {

namespace {

bool addPages(Sieve& sieve, const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return false;
  RawPage page;
  while (!sieve.full() && in.read(reinterpret_cast<char*>(page.data()), kPage)) sieve.add(page.data());
  return true;
}

// Calls visit(path) for each regular file until the sieve is full.
template <typename Visit>
void walk(Sieve& sieve, const std::filesystem::path& folder, Visit visit) {
  std::error_code error;
  using Walk = std::filesystem::recursive_directory_iterator;
  const auto options = std::filesystem::directory_options::skip_permission_denied;
  for (Walk at(folder, options, error), end; at != end && !sieve.full(); at.increment(error)) {
    if (error) return;
    if (at->is_regular_file(error) && !at->is_symlink(error)) visit(at->path());
  }
}

}  // namespace

void addFile(Sieve& sieve, const std::filesystem::path& path) {
  if (!addPages(sieve, path)) throw std::runtime_error("cannot read " + path.string());
}

void addFilesBelow(Sieve& sieve, const std::filesystem::path& folder) {
  walk(sieve, folder, [&](const std::filesystem::path& path) { addPages(sieve, path); });
}

void addTextBelow(Sieve& sieve, const std::filesystem::path& folder) {
  std::vector<char> pending;
  walk(sieve, folder, [&](const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    pending.insert(pending.end(), std::istreambuf_iterator<char>(in), {});
    size_t at = 0;
    for (; at + kPage <= pending.size(); at += kPage)
      sieve.add(reinterpret_cast<const std::byte*>(pending.data() + at));
    pending.erase(pending.begin(), pending.begin() + static_cast<std::ptrdiff_t>(at));
  });
}

}  // namespace tmemd::bench
