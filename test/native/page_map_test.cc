// The way from a key to its slot, where names hash alike: seldom with the real hash, so it is given one that
// tells hardly anything apart.
#include "engine/page_map.h"

#include <doctest/doctest.h>

#include <cstddef>
#include <map>
#include <random>
#include <tuple>

using namespace tmemd;

namespace {

constexpr uint32_t kPools = 2;
constexpr uint64_t kNames = 6;
constexpr uint32_t kNumbers = 40;

uint64_t allAlike(const void*, uint32_t, const uint64_t*) { return 8; }
uint64_t someAlike(const void*, uint32_t pool, const uint64_t oid[3]) { return (pool + oid[2]) % 3 * 8; }

// All objects lie in the first shard: the hashes are multiples of the number of shards.
struct Map {
  explicit Map(PageMap::ObjectHash function)
      : hash(function),
        table(8 << 20, 1, -1),
        objects(table, SpanKind::kObjects, sizeof(Object), offsetof(Object, check), 1, nullptr),
        leaves(table, SpanKind::kLeaves, sizeof(Leaf), offsetof(Leaf, nameCheck), 1, nullptr),
        map(table, function, nullptr) {}

  PageMap::ObjectHash hash;
  SpanTable table;
  CellSlab objects;
  CellSlab leaves;
  PageMap map;
};

struct Name {
  uint32_t pool;
  uint64_t oid[3];
};

}  // namespace

TEST_CASE("leaves of the same number are found by their own object's name, whatever hashes alike") {
  PageMap::ObjectHash hash = nullptr;
  SUBCASE("all names") { hash = allAlike; }
  SUBCASE("some names") { hash = someAlike; }
  Map m(hash);
  PageMap::Slabs slabs{m.objects, m.leaves};
  PageMap::Shard& shard = m.map.shard(0);
  std::map<std::tuple<uint32_t, uint64_t, uint32_t>, CellRef> model;
  constexpr uint64_t kSeed = 7;
  CAPTURE(kSeed);
  std::mt19937_64 random(kSeed);
  for (int step = 0; step < 20000; step++) {
    // The last word alone tells the names apart.
    Name name{static_cast<uint32_t>(random() % kPools), {0, 0, random() % kNames}};
    uint32_t number = static_cast<uint32_t>(random() % kNumbers);
    uint64_t hashed = m.hash(nullptr, name.pool, name.oid);
    CellRef found = shard.findLeaf(hashed, name.pool, name.oid, number);
    CellRef object = shard.findObject(hashed, name.pool, name.oid);
    auto known = model.find({name.pool, name.oid[2], number});
    REQUIRE(found == (known == model.end() ? 0 : known->second));
    if (found) {
      REQUIRE(shard.leaf(found).object == object);
      REQUIRE(shard.findLeaf(hashed, object, number) == found);
      shard.removeLeaf(hashed, found, slabs);
      if (shard.object(object).leafCount == 0) shard.removeObject(hashed, object, slabs);
      model.erase(known);
    } else {
      shard.makeRoom();
      object = shard.makeObject(hashed, name.pool, name.oid, slabs);
      REQUIRE(object != 0);
      CellRef made = shard.makeLeaf(hashed, object, number, slabs);
      REQUIRE(made != 0);
      REQUIRE(shard.makeLeaf(hashed, object, number, slabs) == made);
      model[{name.pool, name.oid[2], number}] = made;
    }
    REQUIRE(shard.leafCount() == model.size());
  }
  CHECK(model.size() > 100);
  for (const auto& [key, leaf] : model) {
    Name name{std::get<0>(key), {0, 0, std::get<1>(key)}};
    uint64_t hashed = m.hash(nullptr, name.pool, name.oid);
    CellRef object = shard.findObject(hashed, name.pool, name.oid);
    shard.removeLeaf(hashed, leaf, slabs);
    if (shard.object(object).leafCount == 0) shard.removeObject(hashed, object, slabs);
  }
  CHECK(shard.objectCount() == 0);
  CHECK(m.leaves.liveCells() == 0);
}
