// Long random sequences against a std::map: whatever the model says is held,
// persistent, must come back; ephemeral pages may miss, and then keep missing.
#include <doctest/doctest.h>

#include <array>
#include <cstdlib>
#include <map>
#include <random>

#include "native/store_fixture.h"

using namespace tmemd;

namespace {

uint64_t seedOfRun() {
  const char* given = std::getenv("TMEMD_TEST_SEED");
  return given ? std::strtoull(given, nullptr, 0) : std::random_device()();
}

struct Model {
  struct Key {
    bool persistent;
    uint64_t object;
    uint32_t index;
    auto operator<=>(const Key&) const = default;
  };
  std::map<Key, uint64_t> held;  // content number
};

Page content(uint64_t number) {
  switch (number % 4) {
    case 0:
      return filledPage(number / 4 % 5 * 0x0101010101010101u);
    case 1:
      return filledPage(number * 0x9e3779b97f4a7c15u);
    case 2:
      return randomPage(number);
    default:
      return textPage(number);
  }
}

void run(uint64_t seed, uint64_t capacityBytes, bool weak, int steps) {
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  StoreOptions options = storeOf(capacityBytes);
  options.weakHashForTest = weak;
  Store store(options);
  std::vector<std::unique_ptr<TestGuest>> guests;
  std::vector<Model> models(3);
  for (int i = 0; i < 3; i++) {
    GuestOptions guest = guestNamed("guest" + std::to_string(i));
    guest.dedupGroup = i < 2 ? "pair" : "";
    guest.weight = 50 * (i + 1);
    guest.persistentReservePages = i == 1 ? 20 : 0;
    guest.capPages = i == 2 ? 150 : 0;
    guests.push_back(std::make_unique<TestGuest>(store, guest));
  }
  for (int step = 0; step < steps; step++) {
    size_t who = random() % 3;
    TestGuest& guest = *guests[who];
    Model& model = models[who];
    Model::Key key{random() % 2 == 0, random() % 5, static_cast<uint32_t>(random() % 3 * 1000000 + random() % 90)};
    PageKey pageKey = key.persistent ? guest.p(key.object, key.index) : guest.e(key.object, key.index);
    auto range = [&](uint64_t count) {
      std::erase_if(model.held, [&](const auto& entry) {
        return entry.first.persistent == key.persistent && entry.first.object == key.object &&
               entry.first.index >= key.index && entry.first.index < key.index + count;
      });
    };
    uint64_t dice = random() % 1000;
    if (dice < 500) {
      std::array<uint64_t, kPutPagesMax> numbers;
      const uint32_t count = static_cast<uint32_t>(random() % kPutPagesMax) + 1;
      for (uint32_t i = 0; i < count; i++) {
        numbers[i] = random() % 200;
        std::memcpy(guest.context.page(i), content(numbers[i]).data(), kPageBytes);
      }
      uint64_t before = store.guestCounters(guest.id).persistentPages;
      Store::PutResult put = store.put(guest.context, guest.id, pageKey, count);
      REQUIRE((put.status == Status::kOk || put.status == Status::kRefused));
      REQUIRE((put.status == Status::kOk) == (put.donePages == count));
      if (key.persistent && who == 1 && before + count <= 20) REQUIRE(put.status == Status::kOk);
      for (uint32_t i = 0; i < put.donePages; i++, key.index++) model.held[key] = numbers[i];
      if (put.status != Status::kOk) model.held.erase(key);
    } else if (dice < 900) {
      bool exclusive = !key.persistent && random() % 4 == 0;
      Page out;
      Status status = guest.get(pageKey, &out, exclusive);
      auto found = model.held.find(key);
      if (status == Status::kOk) {
        REQUIRE(found != model.held.end());
        REQUIRE(out == content(found->second));
        if (exclusive) model.held.erase(found);
      } else {
        REQUIRE(status == Status::kMiss);
        if (found != model.held.end()) {
          REQUIRE_FALSE(key.persistent);
          model.held.erase(found);
        }
      }
    } else if (dice < 980) {
      uint64_t count = random() % 4 == 0 ? random() % 2000000 + 1 : random() % 40 + 1;
      REQUIRE(guest.flush(pageKey, count) == Status::kOk);
      range(count);
    } else if (dice < 997) {
      REQUIRE(store.flushObject(guest.context, guest.id, pageKey.pool, pageKey.object) == Status::kOk);
      key.index = 0;
      range(uint64_t{1} << 32);
    } else {
      store.reset(guest.id);
      store.createPool(guest.id, true, &guest.persistent);
      store.createPool(guest.id, false, &guest.ephemeral);
      model.held.clear();
    }
    if (step % 500 == 0) REQUIRE(store.checkInvariants() == "");
  }
  for (size_t who = 0; who < 3; who++) {
    for (const auto& [key, number] : models[who].held) {
      TestGuest& guest = *guests[who];
      if (key.persistent) REQUIRE(guest.holds(guest.p(key.object, key.index), content(number)));
    }
  }
  REQUIRE(store.checkInvariants() == "");
}

}  // namespace

TEST_CASE("random operations agree with a map") {
  uint64_t seed = seedOfRun();
  MESSAGE("TMEMD_TEST_SEED=" << seed);
  SUBCASE("with room") { run(seed, 64 << 20, false, 20000); }
  SUBCASE("in a tiny store") { run(seed, 1 << 20, false, 20000); }
  SUBCASE("under pressure") { run(seed, 2 << 20, false, 20000); }
  SUBCASE("with weak hashes") { run(seed, 4 << 20, true, 20000); }
}
