// Whatever state a store is in when it stops or is killed, the next process takes it over.
//
// Each arena has random guests, with and without a reserve, in a group or alone, and the smallest
// capacity that the store accepts them in, or a few frames more. A child process works on it to the
// brim, a thread for each guest, and stops, or dies at a random moment: another recovers it, finds
// every page that was acknowledged, removes a guest and adds one with the largest reserve that is
// accepted, and works on. A put inside its guest's reserve is never refused.
//
// TMEMD_SEED repeats a run's choices, not its timing.
#include <doctest/doctest.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <thread>
#include <vector>

#include "native/recovery_log.h"

using namespace tmemd;

namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr int kFailed = 3;
constexpr uint32_t kGuestsMost = 5;
constexpr uint32_t kKeys = 6000;
const char* const kTrial = "trial";  // tells how large a reserve is accepted

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr int kArenas = 8;
#else
constexpr int kArenas = 90;
#endif
constexpr int kTakeoversOfOneArena = 4;

// In memory that outlives the process it tells of.
struct TakeoverLog {
  std::atomic<uint32_t> made;        // the store and its first guests are there
  std::atomic<uint64_t> operations;  // of the process that runs
  struct OneGuest {
    GuestOptions options() const {
      GuestOptions all = guestNamed(name);
      if (grouped) all.dedupGroup = "group";
      all.persistentReservePages = reserve;
      all.maxPools = 2;
      return all;
    }
    char name[8];
    bool grouped;
    uint64_t reserve;
    Change present;
    std::atomic<uint64_t> session;  // 0: it has not made its pools yet
    Change key[kKeys];
  } guest[kGuestsMost];
};

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "%s\n", what.c_str());
  _exit(kFailed);
}

void require(bool holds, const std::string& what) {
  if (!holds) fail(what);
}

// A third of the keys lie close together, a third have a leaf each, a third an object each.
PageKey keyNumber(PoolId pool, uint32_t number) {
  switch (number % 3) {
    case 0:
      return keyOf(pool, 1, number / 3);
    case 1:
      return keyOf(pool, 2, number * kLeafSlots);
    default:
      return keyOf(pool, 3 + number, 0);
  }
}

// One process's time with the store.
class Tenure {
 public:
  Tenure(Store& store, TakeoverLog& log, uint64_t seed) : store_(store), log_(log), random_(seed) {}

  void addGuest(TakeoverLog::OneGuest& guest) {
    guest.session.store(0);
    guest.present.begin(1);
    GuestId id = store_.addGuest(guest.options());
    guest.present.end();
    openSession(guest, id);
  }

  // What the log tells of, and nothing else; then the log says what was found.
  void check(bool recovered) {
    requireInvariants("after recovery");
    if (std::optional<GuestId> trial = store_.guestNamed(kTrial)) store_.removeGuest(*trial);
    for (TakeoverLog::OneGuest& guest : log_.guest) {
      std::optional<GuestId> id = store_.guestNamed(guest.name);
      require(guest.present.allows(id.has_value()), std::string(guest.name) + " is there, or not, against the log");
      guest.present.settle(id.has_value());
      if (!id) {
        for (Change& key : guest.key) key.settle(0);
        continue;
      }
      require(!recovered || store_.addGuest(guest.options()) == *id, std::string(guest.name) + " is not taken over");
      if (guest.session.load() == 0) {
        openSession(guest, *id);
        continue;
      }
      require(store_.attach(*id, guest.session.load()) == Status::kOk, std::string("session lost: ") + guest.name);
      uint64_t found = 0;
      for (uint32_t number = 0; number < kKeys; number++) found += checkKey(guest, *id, number);
      uint64_t held = 0;
      require(store_.pagesHeld(*id, 0, &held) == Status::kOk && held == found, "pages nobody put");
      require(store_.pagesHeld(*id, 1, &held) == Status::kOk && held == 0, "ephemeral pages were kept");
    }
    requireInvariants("after gets");
  }

  // One goes, and comes back with as large a reserve as there is room for.
  void exchangeGuest() {
    TakeoverLog::OneGuest& guest = log_.guest[random_() % kGuestsMost];
    if (std::optional<GuestId> id = store_.guestNamed(guest.name)) {
      for (Change& key : guest.key) key.begin(0);
      guest.present.begin(0);
      store_.removeGuest(*id);
      guest.present.end();
      for (Change& key : guest.key) key.end();
    }
    uint64_t fits = 0, tooMany = 4096;
    GuestOptions options = guest.options();
    options.name = kTrial;
    while (tooMany - fits > 1) {
      options.persistentReservePages = (fits + tooMany) / 2;
      try {
        store_.removeGuest(store_.addGuest(options));
        fits = options.persistentReservePages;
      } catch (const ConfigError&) {
        tooMany = options.persistentReservePages;
      }
    }
    guest.reserve = random_() % 2 ? fits : random_() % (fits + 1);
    try {
      addGuest(guest);
    } catch (const ConfigError&) {
      guest.present.settle(0);  // with no reserve its record may have no room
      require(guest.reserve == 0, "a reserve that was accepted is refused");
    }
  }

  void work(uint64_t operations, bool dies) {
    log_.operations.store(0);
    std::vector<std::thread> threads;
    for (TakeoverLog::OneGuest& guest : log_.guest) {
      std::optional<GuestId> id = store_.guestNamed(guest.name);
      if (!id) continue;
      threads.emplace_back([this, &guest, id, operations, dies, seed = random_()] {
        std::mt19937_64 random(seed);
        WorkerContext context;
        uint64_t held = 0;
        for (Change& key : guest.key) held += key.settled() != 0;
        while (log_.operations.load(std::memory_order_relaxed) < operations) {
          // A while of the same, so that the store comes to be full of it.
          uint32_t mood = random() % 8;
          for (uint64_t left = 1 + random() % 1000; left > 0; left--) {
            if (log_.operations.fetch_add(1, std::memory_order_relaxed) + 1 >= operations) {
              if (dies) kill(getpid(), SIGKILL);
              break;
            }
            operate(guest, *id, context, random, mood, &held);
          }
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    requireInvariants("after work");
  }

 private:
  void requireInvariants(const char* when) {
    std::string wrong = store_.checkInvariants();
    require(wrong.empty(), std::string("invariants ") + when + ": " + wrong);
  }

  void openSession(TakeoverLog::OneGuest& guest, GuestId id) {
    for (Change& key : guest.key) key.settle(0);
    uint64_t session = store_.reset(id);
    PoolId pool;
    require(store_.createPool(id, true, &pool) == Status::kOk && pool == 0, "pool 0");
    require(store_.createPool(id, false, &pool) == Status::kOk && pool == 1, "pool 1");
    guest.session.store(session);
  }

  bool checkKey(TakeoverLog::OneGuest& guest, GuestId id, uint32_t number) {
    Change& logged = guest.key[number];
    std::string name = std::string(guest.name) + " key " + std::to_string(number) + " (acknowledged " +
                       std::to_string(logged.settled()) + ", under way " + std::to_string(logged.pending()) + ")";
    Page page;
    GetOp op;
    op.key = keyNumber(0, number);
    op.out = page.data();
    store_.get(context_, id, {&op, 1});
    if (op.status == Status::kOk) {
      for (Content content : {logged.settled(), logged.pending()}) {
        if (content == 0 || page != pageOf(content)) continue;
        logged.settle(content);
        return true;
      }
      fail("wrong page: " + name);
    }
    require(op.status == Status::kMiss, "status " + std::to_string(static_cast<uint32_t>(op.status)) + ": " + name);
    // A put that is refused leaves nothing; that may have been under way.
    require(logged.underWay() || logged.settled() == 0, "page lost: " + name);
    logged.settle(0);
    return false;
  }

  void operate(TakeoverLog::OneGuest& guest, GuestId id, WorkerContext& context, std::mt19937_64& random, uint32_t mood,
               uint64_t* held) {
    uint32_t number = random() % kKeys;
    // Two moods flush mostly; one puts ephemeral pages; one has a leaf or an object of its own for each page.
    if (mood < 2 && random() % 4 != 0) return flush(guest, id, context, number, held);
    if (mood == 2) {
      Page page = pageOf(static_cast<Content>(2 + random() % 1000 * 5));
      std::memcpy(context.page(), page.data(), kPageBytes);
      store_.put(context, id, keyNumber(1, number));
      return;
    }
    Content content = static_cast<Content>(1 + random() % 1000000000);
    if (mood == 3) content = content / 5 * 5, number |= 1;
    if (mood == 4) content = content / 5 * 5 + 2;
    if (mood == 5) content = content % 100 + 1;
    put(guest, id, context, number, content, held);
  }

  void put(TakeoverLog::OneGuest& guest, GuestId id, WorkerContext& context, uint32_t number, Content content,
           uint64_t* held) {
    Change& logged = guest.key[number];
    bool had = logged.settled() != 0;
    Page page = pageOf(content);
    std::memcpy(context.page(), page.data(), kPageBytes);
    logged.begin(content);
    Status status = store_.put(context, id, keyNumber(0, number));
    if (status == Status::kOk) {
      logged.end();
      *held += !had;
      return;
    }
    require(status == Status::kRefused && *held + !had > guest.reserve,
            std::string("a put inside the reserve is refused: ") + guest.name + " holds " + std::to_string(*held) +
                " of " + std::to_string(guest.reserve));
    logged.settle(0);
    *held -= had;
  }

  void flush(TakeoverLog::OneGuest& guest, GuestId id, WorkerContext& context, uint32_t number, uint64_t* held) {
    Change& logged = guest.key[number];
    *held -= logged.settled() != 0;
    logged.begin(0);
    store_.flush(context, id, keyNumber(0, number), 1);
    logged.end();
  }

  Store& store_;
  TakeoverLog& log_;
  std::mt19937_64 random_;
  WorkerContext context_;
};

struct End {
  uint64_t operations;   // then it stops, or dies
  bool dies;
  uint32_t alarmMicros;  // it dies by then, wherever it is; 0: no
};

[[noreturn]] void beTenant(int arenaFd, TakeoverLog& log, uint64_t capacityBytes, uint64_t seed, End end) {
  try {
    StoreOptions options = storeOf(capacityBytes);
    options.arenaFd = arenaFd;
    std::unique_ptr<Store> store;
    if (!log.made.load()) {
      store = std::make_unique<Store>(options);
      Tenure first(*store, log, seed);
      for (TakeoverLog::OneGuest& guest : log.guest) {
        if (guest.present.pending()) first.addGuest(guest);
      }
      log.made.store(1);
    }
    if (end.alarmMicros) {
      itimerval at{};
      at.it_value.tv_usec = end.alarmMicros;
      setitimer(ITIMER_REAL, &at, nullptr);
    }
    bool recovers = !store;
    if (recovers) store = Store::recover(arenaFd, options);
    Tenure tenure(*store, log, seed);
    tenure.check(recovers);
    if (seed % 2 == 0) tenure.exchangeGuest();
    tenure.work(end.operations, end.dies);
    store.reset();
  } catch (const std::exception& error) {
    fail(error.what());
  }
  _exit(0);
}

// The smallest capacity, to a host page, that the store accepts these guests in.
uint64_t smallestCapacity(const TakeoverLog& log) {
  auto accepts = [&](uint64_t capacityBytes) {
    StoreOptions options = storeOf(capacityBytes);
    options.backgroundSettling = false;
    Store store(options);
    try {
      for (const TakeoverLog::OneGuest& guest : log.guest) {
        if (guest.present.pending()) store.addGuest(guest.options());
      }
      return true;
    } catch (const ConfigError&) {
      return false;
    }
  };
  uint64_t least = SpanTable::kMinimumCapacityBytes;
  if (accepts(least)) return least;
  uint64_t most = 64 * kMiB;
  while (most - least > 4096) {
    uint64_t middle = (least + most) / 2 / 4096 * 4096;
    (accepts(middle) ? most : least) = middle;
  }
  return most;
}

}  // namespace

TEST_CASE("whatever a store holds when it stops or is killed, the next takes it over and keeps its reserves") {
  const char* given = std::getenv("TMEMD_SEED");
  uint64_t seed = given ? std::strtoull(given, nullptr, 0) : std::random_device()();
  std::printf("TMEMD_SEED=%llu\n", static_cast<unsigned long long>(seed));
  std::fflush(stdout);
  std::mt19937_64 random(seed);
  void* shared = mmap(nullptr, sizeof(TakeoverLog), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(shared != MAP_FAILED);
  TakeoverLog& log = *static_cast<TakeoverLog*>(shared);
  int stopped = 0, killed = 0;
  for (int arena = 0; arena < kArenas; arena++) {
    std::memset(shared, 0, sizeof log);
    for (uint32_t g = 0; g < kGuestsMost; g++) {
      TakeoverLog::OneGuest& guest = log.guest[g];
      std::snprintf(guest.name, sizeof guest.name, "guest%u", g);
      guest.grouped = random() % 2;
      guest.reserve = random() % 3 == 0 ? 0 : random() % 600;
      guest.present.begin(g == 0 || random() % 3 != 0);
    }
    uint64_t capacity = smallestCapacity(log) + (random() % 2 ? random() % 60 * kSpanBytes : 0);
    int arenaFd = memfd_create("arena", MFD_CLOEXEC);
    REQUIRE(arenaFd >= 0);
    for (int tenure = 0; tenure < kTakeoversOfOneArena; tenure++) {
      End end{random() % 8000, random() % 2 == 0, random() % 4 == 0 ? 1 + static_cast<uint32_t>(random() % 60000) : 0};
      uint64_t itsSeed = random();
      pid_t pid = fork();
      if (pid == 0) beTenant(arenaFd, log, capacity, itsSeed, end);
      int status = 0;
      REQUIRE(waitpid(pid, &status, 0) == pid);
      CAPTURE(seed);
      CAPTURE(arena);
      CAPTURE(tenure);
      CAPTURE(capacity);
      bool wasKilled = WIFSIGNALED(status) && (WTERMSIG(status) == SIGKILL || WTERMSIG(status) == SIGALRM);
      REQUIRE((wasKilled || (WIFEXITED(status) && WEXITSTATUS(status) == 0)));
      (wasKilled ? killed : stopped)++;
    }
    close(arenaFd);
  }
  munmap(shared, sizeof log);
  std::printf("%d arenas, %d processes stopped, %d killed\n", kArenas, stopped, killed);
  CHECK(stopped > 0);
  CHECK(killed > 0);
}
