// Many threads at once, for ThreadSanitizer and for the checks within: each
// thread owns its objects, so it knows what must come back.
#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <map>
#include <random>
#include <thread>

#include "native/fast_clock.h"
#include "native/store_fixture.h"

using namespace tmemd;

namespace {

struct Outcome {
  std::atomic<uint64_t> wrong{0};
  std::atomic<uint64_t> done{0};
};

// Puts, gets and flushes on one object of both pools of a guest.
void work(Store& store, GuestId guest, uint64_t object, uint64_t seed, int steps, Outcome& outcome) {
  WorkerContext context;
  std::mt19937_64 random(seed);
  std::map<std::pair<PoolId, uint32_t>, uint64_t> held;
  Page out;
  for (int step = 0; step < steps; step++) {
    PoolId pool = random() % 2;  // 0 is persistent
    uint32_t index = static_cast<uint32_t>(random() % 150);
    PageKey key = keyOf(pool, object, index);
    uint64_t dice = random() % 10;
    if (dice < 5) {
      std::array<uint64_t, kPutPagesMax> numbers;  // their pages are the other threads' too
      const uint32_t count = static_cast<uint32_t>(random() % kPutPagesMax) + 1;
      for (uint32_t i = 0; i < count; i++) {
        numbers[i] = random() % 40;
        Page page = numbers[i] % 3 ? textPage(numbers[i]) : randomPage(numbers[i]);
        std::memcpy(context.page(i), page.data(), kPageBytes);
      }
      const Store::PutResult put = store.put(context, guest, key, count);
      for (uint32_t i = 0; i < put.donePages; i++) held[{pool, index + i}] = numbers[i];
      if (put.status != Status::kOk) held.erase({pool, index + put.donePages});
    } else if (dice < 9) {
      GetOp op;
      op.key = key;
      op.out = out.data();
      store.get(context, guest, {&op, 1});
      auto found = held.find({pool, index});
      if (op.status == Status::kOk) {
        uint64_t number = found == held.end() ? ~uint64_t{0} : found->second;
        if (found == held.end() || out != (number % 3 ? textPage(number) : randomPage(number))) outcome.wrong++;
      } else if (op.status != Status::kMiss || (found != held.end() && pool == 0)) {
        outcome.wrong++;
      }
    } else {
      store.flush(context, guest, key, random() % 20 + 1 + (random() % 30 == 0 ? 100000 : 0));
      std::erase_if(held, [&](const auto& entry) { return entry.first.first == pool && entry.first.second >= index; });
      // What lies beyond the range is flushed as well, so that the model is simple.
      store.flush(context, guest, key, (uint64_t{1} << 32) - index);
    }
    outcome.done++;
  }
}

void race(bool weak, uint64_t capacityBytes) {
  FastClock clock;
  clock.runFreely(std::chrono::seconds(1));
  StoreOptions options = storeOf(capacityBytes, &clock);
  options.weakHashForTest = weak;
  Store store(options);
  GuestId ids[3];
  for (int i = 0; i < 3; i++) {
    GuestOptions guest = guestNamed(std::string("guest").append(std::to_string(i)));
    guest.dedupGroup = i < 2 ? "pair" : "";
    guest.persistentReservePages = i == 1 ? 30 : 0;
    ids[i] = store.addGuest(guest);
    store.reset(ids[i]);
    PoolId pool;
    store.createPool(ids[i], true, &pool);
    store.createPool(ids[i], false, &pool);
  }
  Outcome outcome;
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  // Two threads share guest 0; the others have one each.
  for (uint64_t t = 0; t < 4; t++) {
    threads.emplace_back([&, t] { work(store, ids[t < 2 ? 0 : t - 1], t, t + 1, 4000, outcome); });
  }
  std::thread control([&] {
    // A guest that comes and goes, resets, counters and checks, meanwhile.
    for (uint64_t round = 0; !stop; round++) {
      TestGuest passing(store, guestNamed("passing"));
      for (uint32_t i = 0; i < 20; i++) passing.put(passing.e(1, i), textPage(i));
      store.reset(passing.id);
      store.counters();
      store.guestCounters(ids[0]);
      if (round % 8 == 0 && store.checkInvariants() != "") outcome.wrong++;
      store.removeGuest(passing.id);
    }
  });
  for (std::thread& thread : threads) thread.join();
  stop = true;
  control.join();
  CHECK(outcome.wrong == 0);
  CHECK(outcome.done == 16000);
  CHECK(store.checkInvariants() == "");
}

}  // namespace

TEST_CASE("threads of several guests at once, with room") { race(false, 32 << 20); }
TEST_CASE("threads of several guests at once, evicting all the time") { race(false, 1 << 20); }
TEST_CASE("threads of several guests at once, every hash colliding") { race(true, 4 << 20); }
