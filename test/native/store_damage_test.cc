// A damaged arena: each range of its bytes inverted in turn, and each zeroed, as lost memory
// reads: words, lines, cells, pages, frames. Recovery refuses it, or has every page either
// right or CORRUPT; never a wrong one, never one nobody put, never none where there was one.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <unordered_map>
#include <vector>

#include "native/damaged_arena.h"

using namespace tmemd;

namespace {

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr uint32_t kOneOf = 20;  // ranges that are tried
#else
constexpr uint32_t kOneOf = 1;
#endif

uint64_t framesAt(const Image& image) {
  Superblock block;
  std::memcpy(&block, image.data(), sizeof block);
  return image.size() - (block.spanCount - 1) * uint64_t{kSpanBytes};
}

// Which bytes are of cells that are free: there are many, and one is like the other.
std::vector<bool> bytesOfFreeCells(const Image& image) {
  std::vector<bool> free(image.size());
  Superblock block;
  std::memcpy(&block, image.data(), sizeof block);
  Check check(block.secret);
  for (uint64_t at = framesAt(image); at < image.size(); at += kSpanBytes) {
    SpanHeader head;
    std::memcpy(&head, image.data() + at, sizeof head);
    auto mark = [&](uint32_t cellBytes, uint64_t checkAt) {
      for (uint32_t cell = 0; cell < CellSlab::cellsPerSpan(cellBytes); cell++) {
        uint64_t start = at + sizeof head + uint64_t{cell} * cellBytes;
        uint32_t word;
        std::memcpy(&word, image.data() + start + checkAt, sizeof word);
        if (word != check.ofFreeCell(makeCellRef(head.span, cell))) continue;
        std::fill_n(free.begin() + static_cast<std::ptrdiff_t>(start), cellBytes, true);
      }
    };
    if (head.kind == SpanKind::kObjects) mark(sizeof(Object), offsetof(Object, check));
    if (head.kind == SpanKind::kLeaves) mark(sizeof(Leaf), offsetof(Leaf, nameCheck));
    if (head.kind == SpanKind::kRecords) mark(kRecordBytes, offsetof(GuestRecord, tag));
  }
  return free;
}

// Damages one range after another and sees what becomes of it.
struct Sweep {
  explicit Sweep(const Sample& of) : sample(of), free(bytesOfFreeCells(of.image)) {}

  static constexpr uint32_t kOneOfFree = 16 * kOneOf;

  const Sample& sample;
  const std::vector<bool> free;
  MemoryFile file;
  Tally tally;
  uint64_t usedRanges = 0;
  uint64_t freeRanges = 0;

  // Unless nothing was ever written there.
  template <typename Change>  // std::byte Change(std::byte)
  void change(uint64_t at, uint64_t count, Change changed) {
    bool written = false;
    bool used = false;
    for (uint64_t i = at; i < at + count; i++) {
      if (sample.image[i] == std::byte{0}) continue;
      written = true;
      used |= !free[i];
    }
    if (!written) return;
    if (used ? usedRanges++ % kOneOf != 0 : freeRanges++ % kOneOfFree != 0) return;
    CAPTURE(at);
    CAPTURE(count);
    Image image = sample.image;
    auto to = image.begin() + static_cast<std::ptrdiff_t>(at);
    std::transform(to, to + static_cast<std::ptrdiff_t>(count), to, changed);
    std::string wrong = tryImage(sample, file, image, tally);
    REQUIRE(wrong == "");
  }
  template <typename Step, typename Change>  // uint64_t Step(uint64_t at)
  void inSteps(Step step, Change changed) {
    for (uint64_t at = 0; at < sample.image.size();) {
      uint64_t count = std::min<uint64_t>(step(at), sample.image.size() - at);
      change(at, count, changed);
      at += count;
    }
  }
  void print() const {
    std::printf("%llu ranges: %llu refused, %llu with pages CORRUPT, %llu harmless\n",
                static_cast<unsigned long long>(tally.tried), static_cast<unsigned long long>(tally.refused),
                static_cast<unsigned long long>(tally.corrupt), static_cast<unsigned long long>(tally.untouched));
  }
};

// How finely the bytes there are looked into.
uint64_t stepAt(const Image& image, uint64_t offset) {
  uint64_t frames = framesAt(image);
  if (offset < frames) return 16;
  SpanHeader head;
  uint64_t inFrame = (offset - frames) % kSpanBytes;
  std::memcpy(&head, image.data() + offset - inFrame, sizeof head);
  bool blocks = head.kind == SpanKind::kShared || head.kind == SpanKind::kReserve;
  return blocks && inFrame >= sizeof head && inFrame < kSpanBytes - 2048 ? 256 : 16;
}

}  // namespace

TEST_CASE("the sample itself is recovered whole") {
  Sample sample;
  MemoryFile file;
  Tally tally;
  CHECK(tryImage(sample, file, sample.image, tally) == "");
  CHECK(tally.refused == 0);
  CHECK(tally.untouched == 1);
}

TEST_CASE("every range of an arena is inverted in turn") {
  Sample sample;
  Sweep sweep(sample);
  sweep.inSteps([&](uint64_t at) { return stepAt(sample.image, at); }, [](std::byte b) { return ~b; });
  sweep.print();
  CHECK(sweep.tally.refused > 0);
  CHECK(sweep.tally.corrupt > 0);
}

TEST_CASE("every range of an arena reads as zeros in turn") {
  Sample sample;
  Sweep sweep(sample);
  auto zero = [](std::byte) { return std::byte{0}; };
  sweep.inSteps([&](uint64_t at) { return stepAt(sample.image, at); }, zero);
  for (uint64_t size : {64, 512, 4096}) sweep.inSteps([&](uint64_t) { return size; }, zero);
  uint64_t frames = framesAt(sample.image);
  for (uint64_t at = frames; at < sample.image.size(); at += kSpanBytes) {
    sweep.change(at, kSpanBytes, zero);
    SpanHeader head;
    std::memcpy(&head, sample.image.data() + at, sizeof head);
    uint32_t cellBytes = head.kind == SpanKind::kObjects   ? sizeof(Object)
                         : head.kind == SpanKind::kLeaves  ? sizeof(Leaf)
                         : head.kind == SpanKind::kRecords ? kRecordBytes
                                                           : 0;
    for (uint32_t cell = 0; cellBytes > 0 && cell < CellSlab::cellsPerSpan(cellBytes); cell++) {
      uint64_t start = at + sizeof head + uint64_t{cell} * cellBytes;
      sweep.change(start, cellBytes, zero);
      // A page's end may lie anywhere in a cell.
      for (uint64_t from = 4; cellBytes == sizeof(Leaf) && from <= 64; from += 4) {
        sweep.change(start + from, cellBytes - from, zero);
      }
    }
  }
  sweep.print();
  CHECK(sweep.tally.refused > 0);
  CHECK(sweep.tally.corrupt > 0);
}

TEST_CASE("bits of an arena are flipped at random, one and several at a time, and words zeroed") {
  const char* given = std::getenv("TMEMD_SEED");
  uint64_t seed = given ? std::strtoull(given, nullptr, 0) : std::random_device()();
  std::printf("TMEMD_SEED=%llu\n", static_cast<unsigned long long>(seed));
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  Sample sample;
  MemoryFile file;
  Tally tally;
  std::vector<uint64_t> used;
  for (uint64_t at = 0; at < sample.image.size(); at += 8) {
    uint64_t word;
    std::memcpy(&word, sample.image.data() + at, 8);
    // Metadata and blocks alike, though there is far more of these.
    if (word != 0 && (stepAt(sample.image, at) == 16 || at % 128 == 0)) used.push_back(at);
  }
  for (uint32_t i = 0; i < 2000 / kOneOf; i++) {
    Image image = sample.image;
    uint64_t at = used[random() % used.size()];
    for (uint64_t flips = 1 + random() % 3 * 2; flips > 0; flips--) {
      image[at + random() % 8] ^= static_cast<std::byte>(1 << random() % 8);
    }
    if (i % 10 == 0) std::memset(image.data() + at + 4 * (i / 10 % 2), 0, 4);
    CAPTURE(at);
    CAPTURE(i);
    std::string wrong = tryImage(sample, file, image, tally);
    REQUIRE(wrong == "");
  }
  CHECK(tally.tried == 2000 / kOneOf);
}

TEST_CASE("what is no arena is refused") {
  Sample sample;
  auto refused = [](int fd) -> std::string {
    try {
      Store::recover(fd, StoreOptions());
    } catch (const AttachError& error) {
      return error.what();
    }
    return "";
  };
  MemoryFile empty;
  CHECK(refused(empty.fd) == "arena of 0 bytes: too small to be one");
  MemoryFile shorter;
  shorter.write(Image(sample.image.begin(), sample.image.begin() + 65536));
  CHECK(refused(shorter.fd).find("arena of 65536 bytes: its superblock tells of ") == 0);
  MemoryFile zeros;
  zeros.write(Image(1 << 20));
  CHECK(refused(zeros.fd) == "arena: it does not start with an arena's magic word");
  MemoryFile newer;
  Image image = sample.image;
  image[8] = std::byte{99};
  newer.write(image);
  CHECK(refused(newer.fd) == "arena of version 99: this program reads versions 2 and 3");
}

TEST_CASE("two stores cannot have one arena") {
  MemoryFile file;
  StoreOptions options = quiet(2 * kMiB);
  options.arenaFd = file.fd;
  Store store(options);
  CHECK_THROWS_WITH_AS(Store::recover(file.fd, options), "arena: another store has it", AttachError);
  CHECK_THROWS_WITH_AS(Store{options}, "arena: another store has it", AttachError);
}
