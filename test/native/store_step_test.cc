// A process is stopped after every instruction of an operation, and the arena as it is
// then is recovered: each key must hold what it held before or what it is to hold after.
//
// A child runs the operation with the trap flag of the processor on, so that after each
// instruction a signal handler looks whether the arena has changed since the last one. If
// so it waits while its parent recovers a copy of the arena. store_recovery_test.cc kills at
// random moments with all threads running, packing and settling among them; windows of a
// few instructions are found here.
//
// On x86-64 only, and not under sanitizers, whose instructions outnumber the operation's.
#include <doctest/doctest.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <map>
#include <vector>

#include "native/store_fixture.h"

using namespace tmemd;

namespace {

constexpr uint64_t kCapacityBytes = 1 << 20;

using Contents = std::map<uint32_t, Page>;  // by index in object 1

// The two states a key may be in: before the operation and after it.
struct Expected {
  Contents before;
  Contents after;
  bool ends = false;  // the pool or the session: as a whole, so that no page is there without the others
};

int arenaFile() {
  int fd = memfd_create("arena", MFD_CLOEXEC);
  REQUIRE(fd >= 0);
  return fd;
}

// Keeps no thread of its own: what is stepped is all that happens.
StoreOptions quiet(int fd) {
  StoreOptions options = storeOf(kCapacityBytes);
  options.backgroundSettling = false;
  options.arenaFd = fd;
  return options;
}

void copyInto(int fd, const std::vector<std::byte>& bytes) {
  REQUIRE(ftruncate(fd, 0) == 0);
  REQUIRE(ftruncate(fd, static_cast<off_t>(bytes.size())) == 0);
  for (size_t at = 0; at < bytes.size(); at += 4096) {
    // What was never touched stays untouched.
    static const std::vector<std::byte> kZeros(4096);
    size_t length = std::min<size_t>(4096, bytes.size() - at);
    if (std::memcmp(bytes.data() + at, kZeros.data(), length) == 0) continue;
    REQUIRE(pwrite(fd, bytes.data() + at, length, static_cast<off_t>(at)) == static_cast<ssize_t>(length));
  }
}

// Recovers a copy of the arena. Empty when all is as expected, else what is not.
std::string problemWith(const std::vector<std::byte>& bytes, const Expected& expected, PoolId pool) {
  int fd = memfd_create("copy", MFD_CLOEXEC);
  copyInto(fd, bytes);
  std::string problem;
  try {
    std::unique_ptr<Store> store = Store::recover(fd, quiet(-1));
    problem = store->checkInvariants();
    std::optional<GuestId> guest = store->guestNamed("stepped");
    if (!guest) problem = "the guest is not found";
    WorkerContext context;
    uint32_t there = 0;
    for (uint32_t index = 0; problem.empty() && index < 256; index++) {
      Page out;
      GetOp op{.key = keyOf(pool, 1, index), .out = out.data()};
      store->get(context, *guest, {&op, 1});
      bool gone = op.status == Status::kNoPool || op.status == Status::kNoSession;
      bool empty = op.status == Status::kMiss || (expected.ends && gone);
      auto is = [&](const Contents& contents) {
        auto found = contents.find(index);
        return found == contents.end() ? empty : op.status == Status::kOk && out == found->second;
      };
      if (!is(expected.before) && !is(expected.after)) {
        problem = "index " + std::to_string(index) + ": status " + std::to_string(static_cast<int>(op.status));
      }
      there += op.status == Status::kOk;
    }
    if (problem.empty() && expected.ends && there != 0 && there != expected.before.size()) {
      problem = std::to_string(there) + " pages are there of what has ended";
    }
  } catch (const std::exception& error) {
    problem = error.what();
  }
  close(fd);
  return problem;
}

struct Scene {
  explicit Scene(int fd) : store(quiet(fd)), guest(store, guestNamed("stepped")) {}
  Store store;
  TestGuest guest;
};

// The child's side. Global because a signal handler has no other way to it.
struct Stepper {
  struct Extent {
    size_t at;
    size_t sizeBytes;
  };
  int arenaFd = -1;
  int askFd = -1;
  int answerFd = -1;
  const std::byte* arena = nullptr;
  std::byte* last = nullptr;
  uint64_t steps = 0;
  Extent extents[256];
  size_t extentCount = 0;

  // Where the file has bytes. A frame that comes into use is noticed by its span table.
  void findExtents() {
    extentCount = 0;
    for (off_t at = lseek(arenaFd, 0, SEEK_DATA); at >= 0 && extentCount < std::size(extents);) {
      off_t end = lseek(arenaFd, at, SEEK_HOLE);
      extents[extentCount++] = {static_cast<size_t>(at), static_cast<size_t>(end - at)};
      at = lseek(arenaFd, end, SEEK_DATA);
    }
  }
  bool changed() const {
    for (size_t i = 0; i < extentCount; i++) {
      if (std::memcmp(last + extents[i].at, arena + extents[i].at, extents[i].sizeBytes) != 0) return true;
    }
    return false;
  }
  void remember() {
    findExtents();
    for (size_t i = 0; i < extentCount; i++) {
      std::memcpy(last + extents[i].at, arena + extents[i].at, extents[i].sizeBytes);
    }
  }
  void step() {
    steps++;
    if (!changed()) return;
    remember();
    char byte = 0;
    if (write(askFd, &steps, sizeof steps) != sizeof steps || read(answerFd, &byte, 1) != 1) _exit(2);
  }
} stepper;

void onTrap(int) { stepper.step(); }

__attribute__((noinline)) void setTrapFlag() { asm volatile("pushfq; orq $0x100, (%%rsp); popfq" ::: "memory", "cc"); }
__attribute__((noinline)) void clearTrapFlag() {
  asm volatile("pushfq; andq $~0x100, (%%rsp); popfq" ::: "memory", "cc");
}

[[noreturn]] void runChild(int fd, int ask, int answer, const std::function<void(Scene&)>& prepare,
                           const std::function<void(Scene&)>& operate) {
  Scene* scene = new Scene(fd);
  prepare(*scene);
  stepper.arenaFd = fd;
  stepper.askFd = ask;
  stepper.answerFd = answer;
  struct stat status;
  if (fstat(fd, &status) != 0) _exit(2);
  size_t bytes = static_cast<size_t>(status.st_size);
  void* arena = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd, 0);
  void* last = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (arena == MAP_FAILED || last == MAP_FAILED) _exit(2);
  stepper.arena = static_cast<const std::byte*>(arena);
  stepper.last = static_cast<std::byte*>(last);
  stepper.remember();
  struct sigaction action = {};
  action.sa_handler = onTrap;
  sigaction(SIGTRAP, &action, nullptr);
  setTrapFlag();
  operate(*scene);
  clearTrapFlag();
  uint64_t end[2] = {~uint64_t{0}, stepper.steps};
  if (write(ask, end, sizeof end) != sizeof end) _exit(2);
  _exit(0);
}

// Runs `prepare` and then, a step at a time, `operate`, in a child.
void stepThrough(const std::function<void(Scene&)>& prepare, const std::function<void(Scene&)>& operate,
                 const Expected& expected) {
  int fd = arenaFile();
  int ask[2];
  int answer[2];
  REQUIRE(pipe2(ask, O_CLOEXEC) == 0);
  REQUIRE(pipe2(answer, O_CLOEXEC) == 0);
  pid_t pid = fork();
  REQUIRE(pid >= 0);
  if (pid == 0) runChild(fd, ask[1], answer[0], prepare, operate);
  close(ask[1]);
  uint64_t steps = 0;
  uint64_t states = 0;
  bool ended = false;
  std::string problem;
  while (problem.empty()) {
    uint64_t now = 0;
    if (read(ask[0], &now, sizeof now) != sizeof now) break;
    if (now == ~uint64_t{0}) {
      ended = read(ask[0], &steps, sizeof steps) == sizeof steps;
      break;
    }
    steps = now;
    states++;
    std::vector<std::byte> bytes(static_cast<size_t>(lseek(fd, 0, SEEK_END)));
    for (off_t at = lseek(fd, 0, SEEK_DATA); at >= 0;) {
      off_t end = lseek(fd, at, SEEK_HOLE);
      REQUIRE(pread(fd, bytes.data() + at, static_cast<size_t>(end - at), at) == end - at);
      at = lseek(fd, end, SEEK_DATA);
    }
    problem = problemWith(bytes, expected, 0);
    char byte = 0;
    if (problem.empty() && write(answer[1], &byte, 1) != 1) break;
  }
  if (!ended) kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
  INFO("after ", steps, " instructions, in state ", states, ": ", problem);
  CHECK(problem.empty());
  CHECK(ended);
  CHECK(states > 0);
  MESSAGE(steps, " instructions, ", states, " states of the arena");
  for (int each : {fd, ask[0], answer[0], answer[1]}) close(each);
}

// Twenty pages of text, and one content under two keys.
Contents somePages() {
  Contents out;
  for (uint32_t index = 0; index < 20; index++) out[index] = textPage(index);
  out[100] = textPage(3);
  out[101] = filledPage(0x4242424242424242u);
  return out;
}

void putAll(Scene& scene, const Contents& contents) {
  for (const auto& [index, page] : contents) scene.guest.put(scene.guest.p(1, index), page);
}

Contents with(Contents contents, uint32_t index, const Page& page) {
  contents[index] = page;
  return contents;
}

Contents without(Contents contents, uint32_t first, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) contents.erase(first + i);
  return contents;
}

}  // namespace

TEST_CASE("stopped anywhere in a put, the arena holds the page or not") {
  auto putAt = [](uint32_t index, const Page& page) {
    stepThrough([](Scene& scene) { putAll(scene, somePages()); },
                [&](Scene& scene) { scene.guest.put(scene.guest.p(1, index), page); },
                {somePages(), with(somePages(), index, page)});
  };
  // A new page; in place of a shared one; in a new leaf.
  for (uint32_t index : {30u, 3u, 200u}) {
    putAt(index, textPage(50));
    putAt(index, textPage(5));  // a duplicate
    putAt(index, filledPage(0));
    putAt(index, filledPage(0x1122334455667788u));
  }
  putAt(30, randomPage(1));
}

TEST_CASE("stopped anywhere in a flush, each page is there or not") {
  stepThrough([](Scene& scene) { putAll(scene, somePages()); },
              [](Scene& scene) { scene.guest.flush(scene.guest.p(1, 3)); }, {somePages(), without(somePages(), 3, 1)});
  stepThrough([](Scene& scene) { putAll(scene, somePages()); },
              [](Scene& scene) { scene.guest.flush(scene.guest.p(1, 2), 10); },
              {somePages(), without(somePages(), 2, 10)});
  stepThrough([](Scene& scene) { putAll(scene, somePages()); },
              [](Scene& scene) { scene.guest.flush(scene.guest.p(1, 0), 256); }, {somePages(), {}});
}

TEST_CASE("stopped anywhere in the end of a pool or a session, all pages are there or none") {
  stepThrough([](Scene& scene) { putAll(scene, somePages()); },
              [](Scene& scene) { scene.store.destroyPool(scene.guest.id, scene.guest.persistent); },
              {somePages(), {}, true});
  stepThrough([](Scene& scene) { putAll(scene, somePages()); },
              [](Scene& scene) { scene.store.reset(scene.guest.id); }, {somePages(), {}, true});
}

TEST_CASE("stopped anywhere in a change of settings or in another guest's life, all pages are there") {
  stepThrough([](Scene& scene) { putAll(scene, somePages()); },
              [](Scene& scene) {
                GuestTuning tuning;
                tuning.weight = 7;
                scene.store.updateGuest(scene.guest.id, tuning);
              },
              {somePages(), somePages()});
  auto other = [](Scene& scene) {
    GuestOptions options = guestNamed("other");
    options.persistentReservePages = 1;
    options.maxPools = 2;
    return TestGuest(scene.store, options);
  };
  stepThrough([](Scene& scene) { putAll(scene, somePages()); }, [&](Scene& scene) { other(scene); },
              {somePages(), somePages()});
  // With pages in spans of its own reserve, of its group and of the kind that may go.
  stepThrough(
      [&](Scene& scene) {
        putAll(scene, somePages());
        TestGuest guest = other(scene);
        for (uint32_t i = 0; i < 18; i++) guest.put(guest.p(1, i), textPage(1000 + i));
        guest.put(guest.e(1, 0), textPage(2000));
      },
      [](Scene& scene) { scene.store.removeGuest(*scene.store.guestNamed("other")); }, {somePages(), somePages()});
}
