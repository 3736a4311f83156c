// An arena to damage, and what may become of it: recovery refuses it, or has every page either
// right or CORRUPT; never a wrong one, never one nobody put, never none where there was one.
#ifndef TMEMD_TEST_NATIVE_DAMAGED_ARENA_H_
#define TMEMD_TEST_NATIVE_DAMAGED_ARENA_H_

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <unordered_map>

#include "native/memory_file.h"
#include "native/recovery_log.h"

namespace tmemd {

inline constexpr uint64_t kMiB = 1 << 20;

inline StoreOptions quiet(uint64_t capacityBytes) {
  StoreOptions options = storeOf(capacityBytes);
  options.backgroundSettling = false;
  return options;
}

// Three guests, two of them of one group, one with a reserve; pages of every kind, some
// of them shared, some flushed again; a pool that was destroyed.
struct Sample {
  static constexpr uint32_t kGuests = 3;
  static constexpr uint32_t kObjects = 3;
  static constexpr uint32_t kIndices = 70;

  Sample() {
    StoreOptions options = quiet(3 * kMiB / 2);
    options.arenaFd = file.fd;
    Store store(options);
    for (uint32_t g = 0; g < kGuests; g++) {
      GuestOptions guest = guestNamed(name(g));
      if (g < 2) guest.dedupGroup = "group";
      if (g == 2) guest.persistentReservePages = 20;
      guest.maxPools = 4;
      TestGuest made(store, guest);
      session[g] = made.session;
      PoolId gone;
      REQUIRE(store.createPool(made.id, true, &gone) == Status::kOk);
      REQUIRE(made.put(keyOf(gone, 1, 1), textPage(1)) == Status::kOk);
      for (uint32_t o = 0; o < kObjects; o++) {
        for (uint32_t i = 0; i < kIndices; i += 1 + o) put(made, g, o, i, 5 + g / 2 * 1000 + o * 100 + i / 2);
        for (uint32_t i = 0; i < kIndices; i += 7) flush(made, g, o, i);
      }
      for (uint32_t i = 0; i < 10; i++) REQUIRE(made.put(made.e(1, i), textPage(i)) == Status::kOk);
      REQUIRE(store.destroyPool(made.id, gone) == Status::kOk);
    }
    REQUIRE(store.checkInvariants() == "");
    image = file.read();
  }

  static std::string name(uint32_t guest) { return "guest" + std::to_string(guest); }

  void put(TestGuest& guest, uint32_t g, uint32_t o, uint32_t i, Content content) {
    pages[content] = pageOf(content);
    REQUIRE(guest.put(guest.p(o, i), pages[content]) == Status::kOk);
    held[g][o][i] = content;
  }
  void flush(TestGuest& guest, uint32_t g, uint32_t o, uint32_t i) {
    REQUIRE(guest.flush(guest.p(o, i)) == Status::kOk);
    held[g][o][i] = 0;
  }

  const Page& page(Content content) const { return pages.at(content); }

  MemoryFile file;
  Image image;
  std::unordered_map<Content, Page> pages;
  uint64_t session[kGuests];
  Content held[kGuests][kObjects][kIndices] = {};
};

struct Tally {
  uint64_t tried = 0, refused = 0, corrupt = 0, untouched = 0;
};

// Empty when all is as it may be.
inline std::string wrongWith(Store& store, const Sample& sample, Tally& tally) {
  if (std::string wrong = store.checkInvariants(); !wrong.empty()) return "invariants: " + wrong;
  WorkerContext context;
  uint64_t corrupt = 0;
  for (uint32_t g = 0; g < Sample::kGuests; g++) {
    std::optional<GuestId> id = store.guestNamed(Sample::name(g));
    if (!id) return "a guest is lost";
    if (store.attach(*id, sample.session[g]) != Status::kOk) return "a session is lost";
    uint64_t pages;
    if (store.pagesHeld(*id, 1, &pages) != Status::kOk || pages != 0) return "the ephemeral pool is not empty";
    if (store.pagesHeld(*id, 2, &pages) != Status::kNoPool) return "a destroyed pool came back";
    uint64_t found = 0;
    for (uint32_t o = 0; o < Sample::kObjects; o++) {
      // The damage of a leaf may be CORRUPT where nothing was.
      for (uint32_t i = 0; i < 128; i++) {
        Content content = i < Sample::kIndices ? sample.held[g][o][i] : 0;
        Page page;
        GetOp op;
        op.key = keyOf(0, o, i);
        op.out = page.data();
        store.get(context, *id, {&op, 1});
        if (op.status == Status::kOk && (content == 0 || page != sample.page(content))) return "wrong bytes";
        if (op.status == Status::kMiss && content != 0) return "a page is lost without a word";
        if (op.status != Status::kOk && op.status != Status::kMiss && op.status != Status::kCorrupt) return "status";
        corrupt += op.status == Status::kCorrupt;
        found += op.status != Status::kMiss;
      }
    }
    if (store.pagesHeld(*id, 0, &pages) != Status::kOk || pages != found) return "pages nobody put";
    // What is damaged can be put and flushed like anything.
    std::memcpy(context.page(), textPage(9).data(), kPageBytes);
    store.put(context, *id, keyOf(0, 0, 1));
    store.flushObject(context, *id, 0, {{0, 0, 0}});
  }
  if (std::string wrong = store.checkInvariants(); !wrong.empty()) return "invariants later: " + wrong;
  tally.corrupt += corrupt > 0;
  tally.untouched += corrupt == 0;
  return "";
}

inline std::string tryImage(const Sample& sample, const MemoryFile& file, const Image& image, Tally& tally) {
  file.write(image);
  tally.tried++;
  try {
    std::unique_ptr<Store> store = Store::recover(file.fd, quiet(0));
    return wrongWith(*store, sample, tally);
  } catch (const AttachError& error) {
    tally.refused++;
    std::string what = error.what();
    return what.empty() || what.find('\n') != std::string::npos ? "refused without one line" : "";
  } catch (const ConfigError& error) {
    return std::string("refused as a configuration: ") + error.what();
  }
}

}  // namespace tmemd

#endif  // TMEMD_TEST_NATIVE_DAMAGED_ARENA_H_
