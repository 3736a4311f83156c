// How long one guest's gets and puts take while the control plane works: the p99 of each operation's duration as a
// multiple of the p99 of as much quiet time right before it. The operations drop or read what another guest holds.
#include <atomic>
#include <cstring>
#include <functional>
#include <thread>

#include "trials.h"

namespace tmemd::bench {

namespace {

constexpr size_t kOtherPages = 4096;
constexpr size_t kDroppedPages = 16384;
constexpr uint32_t kManyPools = 64;
// Of every operation; each has as much quiet time.
constexpr double kMeasuredUs = 50'000;
// Operations that need no preparation follow one another for so long: a few gets come before the first.
constexpr double kBurstUs = 2'000;
constexpr int kRoundsMax = 2000;

struct Latencies {
  std::vector<double> getUs, putUs;
};

// A guest at work, one get and one put in turn. What they take goes where record() last said.
class Guest {
 public:
  Guest(BenchStore& bench, const Corpus& corpus)
      : bench_(bench), pages_(corpus.pages), guest_(bench.addGuest("at work")), thread_([this] { work(); }) {}
  ~Guest() {
    over_ = true;
    thread_.join();
  }

  // Null: nowhere. An operation that began before is not recorded; returns when none is under way that could be.
  void record(Latencies* into) {
    into_ = into;
    for (const uint64_t begun = turns_; turns_ < begun + 2;) std::this_thread::yield();
  }

 private:
  void work() {
    WorkerContext context;
    CorpusPage landing;
    for (size_t i = 0; i < kOtherPages; i++) put(context, i);
    for (size_t i = 0; !over_; i = (i + 7919) % kOtherPages) {
      Latencies* into = into_;
      const double start = nowUs();
      GetOp op;
      op.key = BenchStore::key(i);
      op.out = landing.data();
      bench_.store->get(context, guest_, {&op, 1});
      const double middle = nowUs();
      put(context, i);
      const double end = nowUs();
      if (into != nullptr && into == into_) {
        into->getUs.push_back(middle - start);
        into->putUs.push_back(end - middle);
      }
      turns_++;
    }
  }

  void put(WorkerContext& context, size_t i) {
    std::memcpy(context.page(), pages_[i % pages_.size()].data(), kPageBytes);
    bench_.store->put(context, guest_, BenchStore::key(i));
  }

  BenchStore& bench_;
  const std::vector<CorpusPage>& pages_;
  GuestId guest_;
  std::atomic<Latencies*> into_ = nullptr;
  std::atomic<uint64_t> turns_ = 0;
  std::atomic<bool> over_ = false;
  std::thread thread_;
};

struct Operation {
  std::string name;
  // What it is to drop; absent: it may be done again and again.
  std::function<void()> prepare;
  std::function<void()> run;
};

void sleepUs(double us) { std::this_thread::sleep_for(std::chrono::duration<double, std::micro>(us)); }

}  // namespace

void controlTrial(const Corpus& corpus, Figures& out) {
  BenchStore bench(roomFor(kDroppedPages + kOtherPages));
  Store& store = *bench.store;
  const GuestId guest = bench.guest;
  const auto session = [&] {
    store.reset(guest);
    PoolId pool;
    store.createPool(guest, true, &pool);
    store.createPool(guest, false, &pool);
  };
  const auto fill = [&](PoolId pool) {
    for (size_t i = 0; i < kDroppedPages; i++) bench.put(i, corpus.pages[i % corpus.pages.size()], pool);
  };
  const auto filled = [&] {
    session();
    fill(kPersistentPool);
  };
  GuestTuning tuning;
  tuning.weight = 100;
  tuning.capPages = kDroppedPages * 2;
  Guest atWork(bench, corpus);
  const std::vector<Operation> operations = {
      {"counters", {}, [&] { store.counters(); }},
      {"guest_counters", {}, [&] { store.guestCounters(guest); }},
      {"pool_counters", {}, [&] { store.poolCounters(guest); }},
      {"settings", {}, [&] { store.updateGuest(guest, tuning); }},
      {"pools", {},
       [&] {
         session();
         PoolId pool;
         for (uint32_t i = 2; i < kManyPools; i++) store.createPool(guest, i % 2 == 0, &pool);
         for (uint32_t i = 2; i < kManyPools; i++) store.destroyPool(guest, i);
       }},
      {"guests", {}, [&] { store.removeGuest(bench.addGuest("passing")); }},
      {"reset", filled, [&] { store.reset(guest); }},
      {"drop", filled, [&] { store.dropPools(guest); }},
      {"persistent_pool", filled, [&] { store.destroyPool(guest, kPersistentPool); }},
      {"ephemeral_pool",
       [&] {
         session();
         fill(kEphemeralPool);
       },
       [&] { store.destroyPool(guest, kEphemeralPool); }},
  };
  for (const Operation& operation : operations) {
    Latencies quiet, disturbed;
    double us = 0, longestUs = 0;
    int rounds = 0;
    for (; us < kMeasuredUs && rounds < kRoundsMax; rounds++) {
      if (operation.prepare) operation.prepare();
      atWork.record(&quiet);
      sleepUs(rounds == 0 ? 1000 : us / rounds);
      atWork.record(&disturbed);
      const double began = nowUs();
      double end = began;
      do {
        const double start = end;
        operation.run();
        end = nowUs();
        longestUs = std::max(longestUs, end - start);
      } while (!operation.prepare && end - began < kBurstUs);
      atWork.record(nullptr);
      us += end - began;
    }
    const auto ratio = [](const std::vector<double>& of, const std::vector<double>& to) {
      return quantile(of, 0.99) / quantile(to, 0.99);
    };
    out.add("control_" + operation.name + "_longest_us", longestUs);
    out.add("control_" + operation.name + "_get_p99_ratio", ratio(disturbed.getUs, quiet.getUs));
    out.add("control_" + operation.name + "_put_p99_ratio", ratio(disturbed.putUs, quiet.putUs));
  }
}

}  // namespace tmemd::bench
