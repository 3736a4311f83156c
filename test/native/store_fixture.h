// What the store's tests share: pages of a given kind, one guest with one pool,
// and a way to damage a stored block.
#ifndef TMEMD_TEST_NATIVE_STORE_FIXTURE_H_
#define TMEMD_TEST_NATIVE_STORE_FIXTURE_H_

#include <array>
#include <cstring>
#include <random>
#include <string>

#include "engine/store.h"
#include "engine/store_impl.h"

namespace tmemd {

// Reaches into a store to flip a stored byte, as failing memory would.
struct StoreTestAccess {
  using Impl = Store::Impl;
  static Impl& impl(Store& store) { return *store.impl_; }
  static Guest& guest(Store& store, GuestId id) { return *Impl::guestIn(*store.impl_->place(id), id); }

  // False when the key holds no block.
  static bool damage(Store& store, GuestId guestId, const PageKey& key) {
    Store::Impl& impl = *store.impl_;
    Guest* guest = Store::Impl::guestIn(*impl.place(guestId), guestId);
    uint64_t hash = guest->map.hashOf(key.pool, key.object.word);
    PageMap::Shard& shard = guest->map.shard(PageMap::shardOf(hash));
    uint32_t value = impl.find(shard, hash, key).value;
    if (!isBlock(value)) return false;
    std::byte* base = impl.table.bytes(spanOf(value));
    Entry entry = SpanTable::entryAt(base, entryOf(value)).load();
    uint32_t prefix = impl.binOf(value).kind() == SpanKind::kEphemeral ? sizeof(BackReference) : 0;
    base[entryOffsetUnits(entry) * 8 + prefix + entryLength(entry) / 2] ^= std::byte{1};
    return true;
  }
};

using Page = std::array<std::byte, kPageBytes>;

// Text-like: LZ4 makes about a third of it. Different for each seed.
inline Page textPage(uint64_t seed) {
  Page page;
  std::mt19937_64 random(seed * 2654435761u + 1);
  std::string words[32];
  for (std::string& word : words) {
    for (uint64_t n = 3 + random() % 8; n > 0; n--) word += static_cast<char>('a' + random() % 26);
    word += ' ';
  }
  for (size_t at = 0; at < kPageBytes;) {
    const std::string& word = words[random() % 32];
    size_t count = std::min(word.size(), kPageBytes - at);
    std::memcpy(page.data() + at, word.data(), count);
    at += count;
  }
  return page;
}

inline Page randomPage(uint64_t seed) {
  Page page;
  std::mt19937_64 random(seed * 2654435761u + 7);
  for (size_t at = 0; at < kPageBytes; at += 8) {
    uint64_t word = random();
    std::memcpy(page.data() + at, &word, 8);
  }
  return page;
}

inline Page filledPage(uint64_t word) {
  Page page;
  for (size_t at = 0; at < kPageBytes; at += 8) std::memcpy(page.data() + at, &word, 8);
  return page;
}

inline PageKey keyOf(PoolId pool, uint64_t object, uint32_t index) { return {pool, {{object, 0, 0}}, index}; }

inline GuestOptions guestNamed(const std::string& name) {
  GuestOptions options;
  options.name = name;
  return options;
}

// A guest with a session and one pool of each kind.
struct TestGuest {
  TestGuest(Store& aStore, const GuestOptions& options) : store(aStore), id(aStore.addGuest(options)) {
    session = store.reset(id);
    store.createPool(id, true, &persistent);
    store.createPool(id, false, &ephemeral);
  }

  Status put(const PageKey& key, const Page& page) {
    std::memcpy(context.page(), page.data(), kPageBytes);
    return store.put(context, id, key);
  }
  Status get(const PageKey& key, Page* out, bool exclusive = false) {
    GetOp op;
    op.key = key;
    op.out = out->data();
    op.exclusive = exclusive;
    store.get(context, id, {&op, 1});
    return op.status;
  }
  // Holds exactly this page.
  bool holds(const PageKey& key, const Page& page) {
    Page out;
    return get(key, &out) == Status::kOk && out == page;
  }
  bool misses(const PageKey& key) {
    Page out;
    return get(key, &out) == Status::kMiss;
  }
  Status flush(const PageKey& key, uint64_t count = 1) { return store.flush(context, id, key, count); }
  PageKey p(uint64_t object, uint32_t index) const { return keyOf(persistent, object, index); }
  PageKey e(uint64_t object, uint32_t index) const { return keyOf(ephemeral, object, index); }
  OperationCounters counters() const { return store.guestCounters(id).operations; }

  Store& store;
  GuestId id;
  uint64_t session = 0;
  PoolId persistent = 0;
  PoolId ephemeral = 0;
  WorkerContext context;
};

inline StoreOptions storeOf(uint64_t capacityBytes, BackgroundClock* clock = nullptr) {
  StoreOptions options;
  options.capacityBytes = capacityBytes;
  options.backgroundClock = clock;
  return options;
}

}  // namespace tmemd

#endif  // TMEMD_TEST_NATIVE_STORE_FIXTURE_H_
