#include "trials.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <memory>
#include <random>
#include <thread>

#include "engine/settler.h"
#include "engine/store.h"
#include "floor.h"
#include "measure.h"

namespace tmemd {

// A walk of the settler at once, instead of waiting for pages to be cold.
struct StoreTestAccess {
  static void settle(Store& store, uint16_t hardAfterRounds, uint16_t coldAfterRounds) {
    Store::Impl::SettlePolicy policy{hardAfterRounds, coldAfterRounds};
    store.impl_->settler->settleNow(&policy);
  }
};

}  // namespace tmemd

namespace tmemd::bench {

namespace {

constexpr size_t kChunkPages = 256;

// A store with one guest and a pool of each kind (0 persistent, 1 ephemeral).
struct Bench {
  explicit Bench(uint64_t capacityBytes, bool settle = false) {
    StoreOptions options;
    options.capacityBytes = capacityBytes;
    options.backgroundSettling = settle;
    store = std::make_unique<Store>(options);
    guest = addGuest("bench");
  }
  GuestId addGuest(const std::string& name) {
    GuestOptions options;
    options.name = name;
    GuestId id = store->addGuest(options);
    store->reset(id);
    PoolId pool;
    store->createPool(id, true, &pool);
    store->createPool(id, false, &pool);
    return id;
  }
  // As a swap device names its pages: 1024 to an object.
  static PageKey key(size_t i, PoolId pool = 0) {
    return {pool, {{0, i >> 10, 0}}, static_cast<uint32_t>(i & 1023)};
  }
  Status put(size_t i, const CorpusPage& page, PoolId pool = 0) {
    std::memcpy(context.page(), page.data(), kPageBytes);
    return store->put(context, guest, key(i, pool));
  }
  std::unique_ptr<Store> store;
  GuestId guest{};
  WorkerContext context;
};

uint64_t roomFor(size_t pages) { return pages * kPageBytes + (64 << 20); }

std::vector<uint32_t> shuffled(size_t count, uint64_t seed) {
  std::vector<uint32_t> order(count);
  for (size_t i = 0; i < count; i++) order[i] = static_cast<uint32_t>(i);
  std::shuffle(order.begin(), order.end(), std::mt19937_64(seed));
  return order;
}

void report(Figures& out, const std::string& name, const Ratio& r) {
  out[name + "_us"] = r.subjectUs;
  out[name + "_floor_us"] = r.floorUs;
  out[name + "_ratio"] = r.ratio;
  out[name + "_ratio_p10"] = r.low;
  out[name + "_ratio_p90"] = r.high;
}

double residentBytes() {
  std::ifstream in("/proc/self/smaps_rollup");
  std::string word;
  double kb = 0;
  while (in >> word) {
    if (word == "Rss:") in >> kb;
  }
  return kb * 1024;
}

}  // namespace

void putTrial(const Corpus& corpus, Figures& out) {
  const auto& pages = corpus.pages;
  size_t chunks = pages.size() / kChunkPages;
  Floor floor;
  auto floorPut = [&](size_t c) {
    for (size_t i = c * kChunkPages; i < (c + 1) * kChunkPages; i++) floor.put(pages[i]);
  };
  {
    Bench b(roomFor(pages.size()), true);
    Pairs pairs;
    for (size_t c = 0; c < chunks; c++) {
      pairs.run(c, kChunkPages, floorPut, [&](size_t chunk) {
        for (size_t i = chunk * kChunkPages; i < (chunk + 1) * kChunkPages; i++) b.put(i, pages[i]);
      });
    }
    report(out, "put_growing", pairs.result());
  }
  {
    // Warm: pages come and go in memory the store holds already.
    Bench b(roomFor(pages.size()), true);
    size_t warm = std::min<size_t>(chunks / 2, 64);
    Pairs pairs;
    for (size_t c = 0; c < chunks; c++) {
      if (c < warm) {
        for (size_t i = c * kChunkPages; i < (c + 1) * kChunkPages; i++) b.put(i, pages[i]);
        continue;
      }
      b.store->flush(b.context, b.guest, Bench::key((c - warm) * kChunkPages), kChunkPages);
      pairs.run(c, kChunkPages, floorPut, [&](size_t chunk) {
        for (size_t i = chunk * kChunkPages; i < (chunk + 1) * kChunkPages; i++) b.put(i, pages[i]);
      });
    }
    report(out, "put_warm", pairs.result());
  }
}

namespace {

// Random gets of the pages the bench holds at 0 .. pages.size()-1, `copies` times over.
void measureGets(Bench& b, const CompressedCorpus& compressed, size_t pages, size_t keys, const std::string& name,
                 Figures& out) {
  std::vector<uint32_t> order = shuffled(keys, 7);
  size_t chunks = std::min<size_t>(keys / kChunkPages, 1500);
  static CorpusPage landing[16];
  for (size_t batch : {size_t{1}, size_t{16}}) {
    Pairs pairs;
    for (size_t c = 0; c < chunks; c++) {
      const uint32_t* mine = order.data() + c * kChunkPages;
      // The floor reads other pages than the subject just did, each pair the same ones.
      pairs.run(
          c, kChunkPages,
          [&](size_t) {
            for (size_t i = 0; i < kChunkPages; i++) compressed.get(mine[i] % pages, landing[i % 16].data());
          },
          [&](size_t) {
            GetOp ops[16];
            for (size_t i = 0; i < kChunkPages; i += batch) {
              for (size_t k = 0; k < batch; k++) {
                ops[k].key = Bench::key(mine[i + k]);
                ops[k].out = landing[k].data();
              }
              b.store->get(b.context, b.guest, {ops, batch});
            }
          });
    }
    report(out, name + (batch == 1 ? "_single" : "_batch16"), pairs.result());
  }
}

}  // namespace

void getTrial(const Corpus& corpus, Figures& out) {
  const auto& pages = corpus.pages;
  Bench b(roomFor(pages.size()));
  for (size_t i = 0; i < pages.size(); i++) b.put(i, pages[i]);
  CompressedCorpus compressed(pages);
  measureGets(b, compressed, pages.size(), pages.size(), "get", out);
}

void cheapPutTrial(const Corpus& corpus, Figures& out) {
  const auto& pages = corpus.pages;
  size_t half = std::min<size_t>(pages.size() / 2, 60000);
  Bench b(roomFor(pages.size()));
  for (size_t i = 0; i < half; i++) b.put(i, pages[i]);
  std::vector<uint32_t> order = shuffled(half, 3);
  Floor floor;
  Pairs same, duplicate;
  CorpusPage filled;
  for (size_t c = 0; c < half / kChunkPages; c++) {
    auto floorPut = [&](size_t chunk) {
      for (size_t i = 0; i < kChunkPages; i++) floor.put(pages[half + chunk * kChunkPages + i]);
    };
    filled.fill(static_cast<std::byte>(c));
    same.run(c, kChunkPages, floorPut, [&](size_t chunk) {
      for (size_t i = 0; i < kChunkPages; i++) b.put(2 * half + chunk * kChunkPages + i, filled);
    });
    duplicate.run(c, kChunkPages, floorPut, [&](size_t chunk) {
      for (size_t i = 0; i < kChunkPages; i++) {
        b.put(half + chunk * kChunkPages + i, pages[order[chunk * kChunkPages + i]]);
      }
    });
  }
  report(out, "same_filled", same.result());
  report(out, "duplicate", duplicate.result());
  out["duplicate_found_share"] = static_cast<double>(b.store->counters().dedupSavedPages) /
                                 static_cast<double>(half / kChunkPages * kChunkPages);
}

void stubbornTrial(const Corpus& corpus, Figures& out) {
  auto measure = [&](const std::vector<CorpusPage>& pages, const std::string& name) {
    size_t chunks = pages.size() / kChunkPages;
    if (chunks == 0) return;
    Bench b(roomFor(pages.size()), true);
    Floor floor;
    Pairs pairs;
    for (size_t c = 0; c < chunks; c++) {
      // Warm memory, as for the put of compressible pages.
      if (c >= 4) b.store->flush(b.context, b.guest, Bench::key((c - 4) * kChunkPages), kChunkPages);
      pairs.run(
          c, kChunkPages,
          [&](size_t chunk) {
            for (size_t i = 0; i < kChunkPages; i++) floor.copyAndHash(pages[chunk * kChunkPages + i]);
          },
          [&](size_t chunk) {
            for (size_t i = 0; i < kChunkPages; i++) {
              b.put(chunk * kChunkPages + i, pages[chunk * kChunkPages + i]);
            }
          });
    }
    report(out, name, pairs.result());
  };
  std::vector<CorpusPage> noise(8192);
  std::mt19937_64 random(1);
  for (CorpusPage& page : noise) {
    for (size_t at = 0; at < page.size(); at += 8) {
      uint64_t word = random();
      std::memcpy(page.data() + at, &word, 8);
    }
  }
  measure(noise, "random_bytes");
  measure(corpus.stubborn, "stubborn");
  // What deciding early costs on pages LZ4 can do something with.
  Bench b(roomFor(corpus.pages.size()));
  for (size_t i = 0; i < corpus.pages.size(); i++) b.put(i, corpus.pages[i]);
  double lz4 = corpus.meanLz4Bytes * static_cast<double>(corpus.pages.size());
  out["early_raw_loss"] = static_cast<double>(b.store->counters().dataBytes) / lz4 - 1;
}

void densityTrial(const Corpus& corpus, Figures& out) {
  const auto& pages = corpus.pages;
  Bench b(roomFor(pages.size()), true);
  for (size_t i = 0; i < pages.size(); i++) b.put(i, pages[i]);
  double lz4 = corpus.meanLz4Bytes * static_cast<double>(pages.size());
  StoreCounters c = b.store->counters();
  out["density"] = static_cast<double>(c.usedBytes) / lz4;
  out["density_slack"] = static_cast<double>(c.slackBytes) / lz4;
  out["metadata_bytes_per_page"] = static_cast<double>(c.metadataBytes) / static_cast<double>(pages.size());
}

void settleTrial(const Corpus& corpus, Figures& out) {
  const auto& pages = corpus.pages;
  double lz4 = corpus.meanLz4Bytes * static_cast<double>(pages.size());
  Bench b(roomFor(pages.size()), true);
  for (size_t i = 0; i < pages.size(); i++) b.put(i, pages[i]);
  CompressedCorpus compressed(pages);
  measureGets(b, compressed, pages.size(), pages.size(), "get_unsettled", out);
  double start = nowUs();
  StoreTestAccess::settle(*b.store, 0, 0xffff);
  out["settle_hard_us_per_page"] = (nowUs() - start) / static_cast<double>(pages.size());
  out["density_settled_hard"] = static_cast<double>(b.store->counters().usedBytes) / lz4;
  measureGets(b, compressed, pages.size(), pages.size(), "get_settled_hard", out);
  // All of it coldest: the share of 80 % lies between the two.
  StoreTestAccess::settle(*b.store, 0, 0);
  double coldest = static_cast<double>(b.store->counters().usedBytes) / lz4;
  out["density_settled_coldest_all"] = coldest;
  out["density_settled_coldest_80"] = 0.2 * out["density_settled_hard"] + 0.8 * coldest;
  measureGets(b, compressed, pages.size(), pages.size(), "get_settled_coldest", out);
}

void flushTrial(const Corpus& corpus, Figures& out) {
  const auto& pages = corpus.pages;
  constexpr size_t kPages = 1000000;
  Bench b(uint64_t{8} << 30, true);
  for (size_t i = 0; i < kPages; i++) {
    // Different in 8 bytes, so that each has bytes of its own.
    std::memcpy(b.context.page(), pages[i % pages.size()].data(), kPageBytes);
    std::memcpy(b.context.page() + 2048, &i, sizeof i);
    b.store->put(b.context, b.guest, {0, {{1, 0, 0}}, static_cast<uint32_t>(i)});
  }
  double start = threadUs();
  b.store->flushObject(b.context, b.guest, 0, {{1, 0, 0}});
  out["flush_ns"] = (threadUs() - start) * 1000 / kPages;
}

void churnTrial(const Corpus& corpus, const Corpus& later, Figures& out) {
  size_t keys = std::min(corpus.pages.size(), later.pages.size());
  Bench b(roomFor(keys), true);
  std::vector<const CorpusPage*> held(keys);
  Floor floor;
  for (size_t i = 0; i < keys; i++) {
    b.put(i, corpus.pages[i]);
    held[i] = &corpus.pages[i];
  }
  std::mt19937_64 random(5);
  auto flush = [&](size_t i) {
    b.store->flush(b.context, b.guest, Bench::key(i), 1);
    held[i] = nullptr;
  };
  for (uint32_t i : shuffled(keys, 9)) {
    if (random() % 10 < 4) flush(i);
  }
  auto density = [&] {
    double lz4 = 0;
    for (const CorpusPage* page : held) {
      if (page) lz4 += floor.put(*page);
    }
    return static_cast<double>(b.store->counters().usedBytes) / lz4;
  };
  out["churn_density_after_drop"] = density();
  // 100 operations a key; half of them puts, of the later corpus more and more.
  size_t steps = std::min<size_t>(10000000, keys * 100);
  double start = threadUs();
  for (size_t step = 0; step < steps; step++) {
    size_t i = random() % keys;
    if (held[i]) {
      flush(i);
      continue;
    }
    if (random() % 100 < 33) continue;  // 60 % of the keys stay held
    const auto& source = random() % steps < step ? later.pages : corpus.pages;
    held[i] = &source[random() % source.size()];
    if (b.put(i, *held[i]) != Status::kOk) held[i] = nullptr;
  }
  out["churn_us_per_step"] = (threadUs() - start) / static_cast<double>(steps);
  out["churn_density"] = density();
  std::this_thread::sleep_for(std::chrono::seconds(5));
  out["churn_density_5s_later"] = density();
}

void evictTrial(const Corpus& corpus, Figures& out) {
  const auto& pages = corpus.pages;
  size_t count = std::min<size_t>(pages.size(), 60000);
  uint64_t small = static_cast<uint64_t>(corpus.meanLz4Bytes * 0.5 * static_cast<double>(count));
  Bench full(small, true), roomy(roomFor(count), true);
  for (size_t i = 0; i < count; i++) full.put(i, pages[i], 1);
  Pairs pairs;
  for (size_t c = 0; c < count / kChunkPages; c++) {
    auto putInto = [&](Bench& b) {
      return [&](size_t chunk) {
        for (size_t i = chunk * kChunkPages; i < (chunk + 1) * kChunkPages; i++) b.put(i, pages[i], 1);
      };
    };
    if (c >= 64) roomy.store->flush(roomy.context, roomy.guest, Bench::key((c - 64) * kChunkPages, 1), kChunkPages);
    pairs.run(c, kChunkPages, putInto(roomy), putInto(full));
  }
  report(out, "evicting_put", pairs.result());
}

void giveBackTrial(const Corpus& corpus, Figures& out) {
  const auto& pages = corpus.pages;
  double before = residentBytes();
  Bench b(roomFor(pages.size()), true);
  for (size_t i = 0; i < pages.size(); i++) b.put(i, pages[i]);
  double peak = residentBytes() - before;
  std::mt19937_64 random(3);
  for (size_t i = 0; i < pages.size(); i++) {
    if (random() % 10 != 0) b.store->flush(b.context, b.guest, Bench::key(i), 1);
  }
  std::this_thread::sleep_for(std::chrono::seconds(10));
  out["given_back_rss_share"] = (residentBytes() - before) / peak;
  out["given_back_used_share"] = static_cast<double>(b.store->counters().usedBytes) / peak;
}

void threadsTrial(const Corpus& corpus, Figures& out) {
  const auto& pages = corpus.pages;
  size_t count = std::min<size_t>(pages.size() / 2, 30000);
  Bench b(roomFor(pages.size() * 2), true);
  GuestId other = b.addGuest("other");
  auto work = [&](GuestId guest, size_t base, double* seconds) {
    WorkerContext context;
    CorpusPage landing;
    double start = nowUs();
    for (int round = 0; round < 4; round++) {
      for (size_t i = 0; i < count; i++) {
        std::memcpy(context.page(), pages[base + i].data(), kPageBytes);
        b.store->put(context, guest, Bench::key(i));
      }
      for (size_t i = 0; i < count; i++) {
        GetOp op;
        op.key = Bench::key((i * 7919) % count);
        op.out = landing.data();
        b.store->get(context, guest, {&op, 1});
      }
    }
    *seconds = nowUs() - start;
  };
  double one, first, second;
  work(b.guest, 0, &one);
  work(b.guest, 0, &one);
  std::thread thread([&] { work(other, count, &first); });
  work(b.guest, 0, &second);
  thread.join();
  out["two_threads_speedup"] = 2 * one / std::max(first, second);
}

void scaleTrial(const Corpus& corpus, size_t pageCount, const std::string& label, Figures& out) {
  const auto& pages = corpus.pages;
  Bench b(static_cast<uint64_t>(static_cast<double>(pageCount) * (corpus.meanLz4Bytes + 150)) + (256 << 20), true);
  auto load = [&](size_t i) {
    std::memcpy(b.context.page(), pages[i % pages.size()].data(), kPageBytes);
    std::memcpy(b.context.page() + 2048, &i, sizeof i);
  };
  size_t held = 0;
  for (; held < pageCount; held++) {
    load(held);
    if (b.store->put(b.context, b.guest, Bench::key(held)) != Status::kOk) break;
  }
  out["scale_" + label + "_pages"] = static_cast<double>(held);
  StoreCounters c = b.store->counters();
  out["scale_" + label + "_metadata_bytes_per_page"] = static_cast<double>(c.metadataBytes) / static_cast<double>(held);
  out["scale_" + label + "_density"] = static_cast<double>(c.usedBytes) / static_cast<double>(c.dataBytes);
  // Replacing puts at random places.
  std::vector<double> put;
  std::mt19937_64 random(3);
  for (int chunk = 0; chunk < 200; chunk++) {
    double start = threadUs();
    for (size_t i = 0; i < kChunkPages; i++) {
      size_t fresh = held + static_cast<size_t>(chunk) * kChunkPages + i;
      load(fresh);
      b.store->put(b.context, b.guest, Bench::key(random() % held));
    }
    put.push_back((threadUs() - start) / kChunkPages);
  }
  out["scale_" + label + "_put_us"] = quantile(put, 0.5);
  CompressedCorpus compressed(std::vector<CorpusPage>(pages.begin(), pages.begin() + static_cast<long>(std::min<size_t>(pages.size(), 20000))));
  measureGets(b, compressed, std::min<size_t>(pages.size(), 20000), held, "scale_" + label + "_get", out);
}

}  // namespace tmemd::bench
