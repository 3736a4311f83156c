// Attach after a kill: a process under full load is killed at a random moment; the next
// recovers its arena, checks every page against the log of what was acknowledged, goes
// on with the load and is killed in its turn, also while it recovers.
//
// TMEMD_SEED repeats a run's choices, not its timing.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <thread>
#include <vector>

#include "native/fast_clock.h"
#include "native/recovery_log.h"

using namespace tmemd;

namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr int kFailed = 3;
constexpr int kStartAnew = 4;  // killed before the guests were all made

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr int kKills = 16;
#else
constexpr int kKills = 200;
#endif
constexpr int kKillsOfOneArena = 20;

const char* const kNames[RecoveryLog::kGuests] = {"a", "b", "c", "visitor"};

// --- the process that is killed ---------------------------------------------------

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "%s\n", what.c_str());
  _exit(kFailed);
}

void require(bool holds, const std::string& what) {
  if (!holds) fail(what);
}

GuestOptions optionsOf(uint32_t guest) {
  GuestOptions options = guestNamed(kNames[guest]);
  if (guest != 2) options.dedupGroup = "group";
  if (guest == 2) options.persistentReservePages = 100;
  options.maxPools = 4;
  return options;
}

class Load {
 public:
  Load(Store& store, RecoveryLog& log, uint64_t seed) : store_(store), log_(log), seed_(seed) {}

  void makeGuests() {
    for (uint32_t g = 0; g < RecoveryLog::kVisitor; g++) {
      id_[g] = store_.addGuest(optionsOf(g));
      log_.session[g] = store_.reset(id_[g]);
      PoolId pool;
      require(store_.createPool(id_[g], true, &pool) == Status::kOk && pool == 0, "pool 0");
      require(store_.createPool(id_[g], false, &pool) == Status::kOk && pool == 1, "pool 1");
    }
    log_.made.store(1);
  }

  // Everything the log tells of, and nothing else; then the log says what was found.
  void check() {
    std::string wrong = store_.checkInvariants();
    require(wrong.empty(), "invariants after recovery: " + wrong);
    for (uint32_t g = 0; g < RecoveryLog::kVisitor; g++) {
      std::optional<GuestId> found = store_.guestNamed(kNames[g]);
      require(found.has_value(), std::string("guest lost: ") + kNames[g]);
      id_[g] = *found;
      require(store_.attach(id_[g], log_.session[g]) == Status::kOk, std::string("session lost: ") + kNames[g]);
      require(checkPages(g, 0) == held(g, 0), std::string("pages nobody put: ") + kNames[g]);
      require(held(g, 1) == 0, "ephemeral pages were kept");
    }
    checkVisitor();
    wrong = store_.checkInvariants();
    require(wrong.empty(), "invariants after gets: " + wrong);
  }

  void run() {
    std::vector<std::thread> threads;
    for (uint32_t w = 0; w < RecoveryLog::kWorkers; w++) threads.emplace_back([this, w] { work(w); });
    threads.emplace_back([this] { visit(); });
    for (std::thread& thread : threads) thread.join();  // never
  }

 private:
  uint64_t held(uint32_t guest, PoolId pool) {
    uint64_t pages = 0;
    require(store_.pagesHeld(id_[guest], pool, &pages) == Status::kOk, std::string("pool lost: ") + kNames[guest]);
    return pages;
  }

  uint64_t checkPages(uint32_t g, PoolId pool) {
    uint64_t found = 0;
    for (uint32_t o = 0; o < RecoveryLog::kObjects; o++) {
      for (uint32_t i = 0; i < RecoveryLog::kIndices; i++) found += checkKey(g, pool, o, i);
    }
    return found;
  }

  bool checkKey(uint32_t g, PoolId pool, uint32_t o, uint32_t i) {
    Change& logged = log_.key[g][o][i];
    std::string name = std::string("guest ") + kNames[g] + " object " + std::to_string(o) + " index " +
                       std::to_string(i) + " (acknowledged " + std::to_string(logged.settled()) + ", under way " +
                       std::to_string(logged.pending()) + ")";
    Page page;
    GetOp op;
    op.key = keyOf(pool, o, i);
    op.out = page.data();
    store_.get(context_, id_[g], {&op, 1});
    if (op.status == Status::kOk) {
      for (Content content : {logged.settled(), logged.pending()}) {
        if (content == 0 || page != pageOf(content)) continue;
        logged.settle(content);
        return true;
      }
      fail("wrong page: " + name);
    }
    bool none = op.status == Status::kMiss || op.status == Status::kNoPool || op.status == Status::kNoSession;
    require(none, "status " + std::to_string(static_cast<uint32_t>(op.status)) + ": " + name);
    // A put that is refused leaves nothing; that may have been under way.
    bool mayBeRefused = logged.underWay() && !log_.roomy.load();
    require(logged.allows(0) || mayBeRefused, "page lost: " + name);
    logged.settle(0);
    return false;
  }

  void checkVisitor() {
    constexpr uint32_t g = RecoveryLog::kVisitor;
    std::optional<GuestId> found = store_.guestNamed(kNames[g]);
    require(log_.visitorPresent.allows(found.has_value()), "the visitor is there, or not, against the log");
    log_.visitorPresent.settle(found.has_value());
    id_[g] = found.value_or(GuestId{~0u});
    bool session = store_.attach(id_[g], log_.session[g]) == Status::kOk;
    require(log_.visitorSession.allows(session), "the visitor's session is there, or not, against the log");
    uint64_t pages = 0;
    uint32_t poolTag = log_.visitorPool.settled() ? log_.visitorPool.settled() : log_.visitorPool.pending();
    bool pool = poolTag && session && store_.pagesHeld(id_[g], poolTag - 1, &pages) == Status::kOk;
    require(log_.visitorPool.allows(pool ? poolTag : 0), "the visitor's pool is there, or not, against the log");
    require(checkPages(g, poolTag - 1) == pages, "pages nobody put: visitor");
    require(store_.pagesHeld(id_[g]) == pages, "pages of no pool: visitor");
    if (found) {
      uint32_t weight = static_cast<uint32_t>(store_.guestCounters(id_[g]).weight);
      require(log_.visitorWeight.allows(weight), "the visitor's weight is another");
      store_.removeGuest(id_[g]);
    }
    settleVisitor();
  }

  void settleVisitor() {
    log_.visitorPresent.settle(0);
    log_.visitorSession.settle(0);
    log_.visitorPool.settle(0);
    for (auto& object : log_.key[RecoveryLog::kVisitor]) {
      for (Change& key : object) key.settle(0);
    }
  }

  Content draw(std::mt19937_64& random) {
    return static_cast<Content>(random() % 2 ? 1 + random() % 300 : 1 + random() % 1000000000);
  }

  void put(WorkerContext& context, uint32_t g, PoolId pool, uint32_t o, uint32_t i, Content content) {
    Change& logged = log_.key[g][o][i];
    Page page = pageOf(content);
    std::memcpy(context.page(), page.data(), kPageBytes);
    logged.begin(content);
    Status status = store_.put(context, id_[g], keyOf(pool, o, i));
    if (status == Status::kOk) {
      logged.end();
    } else {
      require(status == Status::kRefused && !log_.roomy.load(), "a put failed");
      logged.settle(0);
    }
  }

  void flush(WorkerContext& context, uint32_t g, uint32_t o, uint32_t from, uint32_t count) {
    for (uint32_t i = from; i < from + count; i++) log_.key[g][o][i].begin(0);
    if (count == RecoveryLog::kIndices) {
      store_.flushObject(context, id_[g], 0, {{o, 0, 0}});
    } else {
      store_.flush(context, id_[g], keyOf(0, o, from), count);
    }
    for (uint32_t i = from; i < from + count; i++) log_.key[g][o][i].end();
  }

  // Each worker has objects of its own in every guest.
  void work(uint32_t worker) {
    std::mt19937_64 random(seed_ * 100 + worker);
    WorkerContext context;
    for (;;) {
      uint32_t g = random() % RecoveryLog::kVisitor;
      uint32_t o = worker + RecoveryLog::kWorkers * (random() % (RecoveryLog::kObjects / RecoveryLog::kWorkers));
      uint32_t i = random() % RecoveryLog::kIndices;
      uint32_t kind = random() % 100;
      if (kind < 60) {
        put(context, g, 0, o, i, draw(random));
      } else if (kind < 75) {
        flush(context, g, o, i, 1);
      } else if (kind < 78) {
        flush(context, g, o, i, 1 + random() % (RecoveryLog::kIndices - i));
      } else if (kind < 79) {
        flush(context, g, o, 0, RecoveryLog::kIndices);
      } else if (kind < 90) {
        Content content = draw(random);
        Page page = pageOf(content);
        std::memcpy(context.page(), page.data(), kPageBytes);
        store_.put(context, id_[g], keyOf(1, o, static_cast<uint32_t>(random() % 1000)));
      } else {
        getAndCompare(context, g, o, i);
      }
      log_.operations.fetch_add(1, std::memory_order_relaxed);
    }
  }

  void getAndCompare(WorkerContext& context, uint32_t g, uint32_t o, uint32_t i) {
    Content content = log_.key[g][o][i].settled();
    Page page;
    GetOp op;
    op.key = keyOf(0, o, i);
    op.out = page.data();
    store_.get(context, id_[g], {&op, 1});
    require(op.status == (content ? Status::kOk : Status::kMiss), "a get under load found the wrong thing");
    require(!content || page == pageOf(content), "a get under load brought a wrong page");
  }

  // Comes, opens a session, makes and destroys pools, and goes.
  void visit() {
    constexpr uint32_t g = RecoveryLog::kVisitor;
    std::mt19937_64 random(seed_ * 100 + 99);
    WorkerContext context;
    for (;;) {
      log_.visitorWeight.settle(100);
      log_.visitorPresent.begin(1);
      GuestOptions options = optionsOf(g);
      try {
        id_[g] = store_.addGuest(options);
      } catch (const ConfigError&) {
        log_.visitorPresent.settle(0);
        require(!log_.roomy.load(), "no room for a guest");
        std::this_thread::yield();
        continue;
      }
      log_.visitorPresent.end();
      for (uint64_t sessions = 1 + random() % 3; sessions > 0; sessions--) {
        endVisitorsPages();
        log_.visitorSession.begin(0);
        uint64_t session = store_.reset(id_[g]);
        endedVisitorsPages();
        log_.visitorSession.settle(0);
        nextPool_ = 0;
        log_.session[g] = session;
        log_.visitorSession.settle(1);
        for (uint64_t pools = 1 + random() % 4; pools > 0; pools--) {
          visitPool(context, random, pools == 1);
          uint32_t weight = 1 + random() % 1000;
          log_.visitorWeight.begin(weight);
          GuestTuning tuning;
          tuning.weight = weight;
          store_.updateGuest(id_[g], tuning);
          log_.visitorWeight.end();
        }
      }
      endVisitorsPages();
      log_.visitorSession.begin(0);
      log_.visitorPresent.begin(0);
      store_.removeGuest(id_[g]);
      settleVisitor();
    }
  }

  void visitPool(WorkerContext& context, std::mt19937_64& random, bool stays) {
    constexpr uint32_t g = RecoveryLog::kVisitor;
    // The lowest number that was never used in the session.
    PoolId pool = 0;
    log_.visitorPool.begin(nextPool_ + 1);
    require(store_.createPool(id_[g], true, &pool) == Status::kOk && pool == nextPool_, "the visitor's pool");
    log_.visitorPool.end();
    nextPool_ = nextPool_ + 1;
    for (uint64_t puts = random() % 150; puts > 0; puts--) {
      put(context, g, pool, random() % RecoveryLog::kObjects, random() % RecoveryLog::kIndices, draw(random));
    }
    if (stays) return;
    endVisitorsPages();
    store_.destroyPool(id_[g], pool);
    endedVisitorsPages();
  }

  void endVisitorsPages() {
    for (auto& object : log_.key[RecoveryLog::kVisitor]) {
      for (Change& key : object) key.begin(0);
    }
    log_.visitorPool.begin(0);
  }
  void endedVisitorsPages() {
    for (auto& object : log_.key[RecoveryLog::kVisitor]) {
      for (Change& key : object) key.end();
    }
    log_.visitorPool.end();
  }

  Store& store_;
  RecoveryLog& log_;
  const uint64_t seed_;
  GuestId id_[RecoveryLog::kGuests] = {};
  uint32_t nextPool_ = 0;
  WorkerContext context_;
};

RecoveryLog& mapLog(int fd) {
  void* at = mmap(nullptr, sizeof(RecoveryLog), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) fail("mmap of the log");
  return *static_cast<RecoveryLog*>(at);
}

int beKilled(int arenaFd, int logFd, uint64_t seed, bool onlyCheck) {
  RecoveryLog& log = mapLog(logFd);
  FastClock clock;
  clock.runFreely(std::chrono::seconds(1));  // so that pages are recompressed all the time
  StoreOptions options;
  options.backgroundClock = &clock;
  options.capacityBytes = log.roomy.load() ? 64 * kMiB : 5 * kMiB;
  struct stat status;
  fstat(arenaFd, &status);
  std::unique_ptr<Store> store;
  try {
    if (status.st_size == 0) {
      options.arenaFd = arenaFd;
      store = std::make_unique<Store>(options);
    } else {
      RecoveryReport report;
      store = Store::recover(arenaFd, options, &report);
      require(report.damagedPages == 0, "pages were found damaged that nobody damaged");
    }
  } catch (const AttachError& error) {
    if (!log.made.load()) _exit(kStartAnew);
    fail(std::string("refused: ") + error.what());
  }
  Load load(*store, log, seed);
  if (!log.made.load()) {
    if (status.st_size != 0) {
      std::string wrong = store->checkInvariants();
      require(wrong.empty(), "invariants of a half-made store: " + wrong);
      _exit(kStartAnew);
    }
    load.makeGuests();
  }
  load.check();
  if (onlyCheck) _exit(0);
  log.ready.store(1);
  load.run();
  return kFailed;
}

// --- the process that kills ---------------------------------------------------------

int memoryFile(const char* name, uint64_t sizeBytes) {
  int fd = memfd_create(name, MFD_ALLOW_SEALING);
  REQUIRE(fd >= 0);
  REQUIRE(ftruncate(fd, static_cast<off_t>(sizeBytes)) == 0);
  return fd;
}

pid_t start(int arenaFd, int logFd, uint64_t seed, bool onlyCheck) {
  std::string arena = std::to_string(arenaFd), log = std::to_string(logFd), number = std::to_string(seed);
  const char* arguments[] = {"victim", "--victim", arena.c_str(), log.c_str(), number.c_str(),
                             onlyCheck ? "check" : "load", nullptr};
  pid_t pid = fork();
  if (pid == 0) {
    execv("/proc/self/exe", const_cast<char**>(arguments));
    _exit(127);
  }
  return pid;
}

}  // namespace

TEST_CASE("a process is killed again and again under load, and the next finds every acknowledged page") {
  const char* given = std::getenv("TMEMD_SEED");
  uint64_t seed = given ? std::strtoull(given, nullptr, 0) : std::random_device()();
  std::printf("TMEMD_SEED=%llu\n", static_cast<unsigned long long>(seed));
  std::mt19937_64 random(seed);
  int logFd = memoryFile("log", sizeof(RecoveryLog));
  RecoveryLog& log = mapLog(logFd);
  int arenaFd = -1;
  uint64_t operations = 0;
  int underLoad = 0;
  for (int kill_ = 0, ofThisArena = 0; kill_ < kKills; kill_++, ofThisArena++) {
    if (arenaFd < 0 || ofThisArena == kKillsOfOneArena) {
      if (arenaFd >= 0) close(arenaFd);
      arenaFd = memoryFile("arena", 0);
      operations += log.operations.load();
      std::memset(static_cast<void*>(&log), 0, sizeof log);
      log.roomy.store(random() % 2);
      ofThisArena = 0;
    }
    log.ready.store(0);
    pid_t pid = start(arenaFd, logFd, seed + static_cast<uint64_t>(kill_), false);
    REQUIRE(pid > 0);
    // Mostly once it is under load; sometimes while it recovers, or even starts.
    bool waits = random() % 8 != 0;
    int status = 0;
    bool ended = false;
    uint64_t before = log.operations.load();
    while (waits && (!log.ready.load() || log.operations.load() == before) && !ended) {
      usleep(200);
      ended = waitpid(pid, &status, WNOHANG) == pid;
    }
    underLoad += waits && !ended;
    if (!ended) {
      usleep(random() % 15000);
      kill(pid, SIGKILL);
      REQUIRE(waitpid(pid, &status, 0) == pid);
    }
    CAPTURE(seed);
    CAPTURE(kill_);
    if (WIFEXITED(status) && WEXITSTATUS(status) == kStartAnew) {
      close(arenaFd);
      arenaFd = -1;
      continue;
    }
    REQUIRE(WIFSIGNALED(status));
    REQUIRE(WTERMSIG(status) == SIGKILL);
  }
  operations += log.operations.load();
  if (log.made.load()) {
    int status = 0;
    pid_t pid = start(arenaFd, logFd, seed, true);
    REQUIRE(waitpid(pid, &status, 0) == pid);
    REQUIRE(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
  }
  std::printf("%d kills, %d under load, %llu operations\n", kKills, underLoad,
              static_cast<unsigned long long>(operations));
  CHECK(underLoad > 0);
  CHECK(operations > 0);
  close(logFd);
  close(arenaFd);
}

int main(int argc, char** argv) {
  if (argc == 6 && std::string(argv[1]) == "--victim") {
    return beKilled(std::atoi(argv[2]), std::atoi(argv[3]), std::strtoull(argv[4], nullptr, 0),
                    std::string(argv[5]) == "check");
  }
  return doctest::Context(argc, argv).run();
}
