// The guest driver's request layer (its rings, slots, staged puts, windows, flushes and what it remembers of objects)
// on a machine of fibers: whatever the schedule, what a front end is promised holds.
//
// A run has a few workers, each with pages of its own, as the page lock has it: nobody else touches a key meanwhile.
// Neighbouring pages belong to different workers, so that they share objects, chunks, blocks and queues. Beside them a
// task makes and drops pools, and one suspends the machine. What a worker may see of its pages is a simple model: the
// newest content that was put, or nothing after a flush; a refused put leaves nothing; an ephemeral page may be gone at
// any time. At the end the host has exactly the pages that the model says.
//
// TMEMD_SEED and TMEMD_STRATEGY, as a failed run prints them, make that run alone again.
#include <doctest/doctest.h>
#include <time.h>

#include <cstdlib>
#include <memory>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "driver.h"
#include "host.h"
#include "sim.h"

using namespace driver_ring;

namespace {

/** Warnings are to be expected of this run: the device is slow. */
bool warnings_expected = false;

constexpr uint32_t kObjects = 2;
constexpr uint32_t kPagesOfWorker = 6;
constexpr uint32_t kSteps = 14;

struct Scene {
  Host host;
  driver *dev = nullptr;
  vtmem_pool *persistent = nullptr;
  vtmem_pool *ephemeral = nullptr;
  uint64_t next_content = 1;
  uint32_t workers = 0;
  bool slow = false;
  uint64_t reserve = 0;
  /** The persistent pool is a disk's, and the host loses the session. */
  bool loses = false;
  uint32_t losses = 0;
};

/** A page as its owner knows it. */
struct Page {
  /** What a get may return. */
  std::optional<uint64_t> content;
  /** Ephemeral: whether it is still there is not known. */
  bool maybe = false;
  /** Persistent: sessions that were lost before it was put. */
  uint32_t losses = 0;
};

struct Worker {
  Scene *scene;
  uint32_t number;
  Page persistent[kObjects][kPagesOfWorker];
  Page ephemeral[kObjects][kPagesOfWorker];

  uint32_t index(uint32_t i) const { return i * scene->workers + number; }
};

void putPersistent(Worker &worker, uint64_t object, uint32_t i) {
  Scene &scene = *worker.scene;
  Page &page = worker.persistent[object][i];
  const uint64_t content = scene.next_content++;
  const uint32_t index = worker.index(i);
  // frontswap invalidates a page before it stores another under its key; the disk does not.
  if (page.content && sim_random(2) == 0) driver_flush(scene.persistent, object, index);
  page.content.reset();
  page.losses = scene.losses;
  if (!scene.loses && sim_random(3) != 0 && driver_put_staged(scene.persistent, object, index, content) == 0)
    page.content = content;
  else if (driver_put(scene.persistent, object, index, content) == 0)
    page.content = content;
  else
    driver_flush(scene.persistent, object, index);
}

void getPersistent(Worker &worker, uint64_t object, uint32_t i) {
  uint64_t content = 0;
  const Page &page = worker.persistent[object][i];
  const int err = driver_get(worker.scene->persistent, object, worker.index(i), &content);
  if (page.content && err != 0 && page.losses != worker.scene->losses) {
    sim_check(driver_remembers(worker.scene->persistent, object, worker.index(i)),
              "page %u of object %u is lost, and the driver takes it for one that was never written", worker.index(i),
              static_cast<unsigned>(object));
    return;
  }
  if (page.content)
    sim_check(err == 0 && content == *page.content, "page %u of object %u: %d, %llu instead of %llu",
              worker.index(i), static_cast<unsigned>(object), err, static_cast<unsigned long long>(content),
              static_cast<unsigned long long>(*page.content));
  else
    sim_check(err != 0, "page %u of object %u, which is not there, is %llu", worker.index(i),
              static_cast<unsigned>(object), static_cast<unsigned long long>(content));
}

void putEphemeral(Worker &worker, uint64_t object, uint32_t i) {
  Scene &scene = *worker.scene;
  Page &page = worker.ephemeral[object][i];
  const uint64_t content = scene.next_content++;
  page.content.reset();
  if (driver_put_staged(scene.ephemeral, object, worker.index(i), content) == 0) {
    page.content = content;
    page.maybe = false;
  } else {
    driver_flush(scene.ephemeral, object, worker.index(i));
  }
}

void getEphemeral(Worker &worker, uint64_t object, uint32_t i) {
  uint64_t content = 0;
  Page &page = worker.ephemeral[object][i];
  const int err = driver_get(worker.scene->ephemeral, object, worker.index(i), &content);
  if (err != 0) {
    page.maybe = true;
    if (err == -ENOENT) page.content.reset();
    return;
  }
  sim_check(page.content && content == *page.content, "ephemeral page %u of object %u is %llu instead of %lld",
            worker.index(i), static_cast<unsigned>(object), static_cast<unsigned long long>(content),
            page.content ? static_cast<long long>(*page.content) : -1LL);
  page.content.reset();
}

void flushPage(Worker &worker, bool persistent, uint64_t object, uint32_t i) {
  Page &page = persistent ? worker.persistent[object][i] : worker.ephemeral[object][i];
  driver_flush(persistent ? worker.scene->persistent : worker.scene->ephemeral, object, worker.index(i));
  page.content.reset();
}

void work(void *argument) {
  Worker &worker = *static_cast<Worker *>(argument);
  for (uint32_t step = 0; step < kSteps; step++) {
    const uint64_t object = sim_random(kObjects);
    const uint32_t i = sim_random(kPagesOfWorker);
    switch (sim_random(10)) {
      case 0:
      case 1:
      case 2:
        putPersistent(worker, object, i);
        break;
      case 3:
      case 4:
        getPersistent(worker, object, i);
        break;
      case 5:
        flushPage(worker, true, object, i);
        break;
      case 6:
        for (uint32_t j = i; j < kPagesOfWorker; j++) putEphemeral(worker, object, j);
        break;
      case 7:
        putEphemeral(worker, object, i);
        break;
      case 8:
        for (uint32_t j = i; j < kPagesOfWorker; j++) getEphemeral(worker, object, j);
        break;
      case 9:
        flushPage(worker, false, object, i);
        break;
    }
  }
}

/** A file system that is mounted and unmounted, with a file that is read and deleted. */
void mountAndUnmount(void *argument) {
  Scene &scene = *static_cast<Scene *>(argument);
  for (uint32_t round = 0; round < 2; round++) {
    vtmem_pool *pool = driver_pool_create(scene.dev, false);
    sim_check(pool != nullptr || scene.losses > 0, "no pool");
    if (pool == nullptr) continue;
    const uint64_t content = scene.next_content;
    scene.next_content += 16;
    for (uint32_t i = 0; i < 8; i++)
      if (driver_put_staged(pool, 7, i, content + i) != 0) driver_flush(pool, 7, i);
    if (sim_random(2) == 0) driver_flush_object(pool, 7);
    for (uint32_t i = 0; i < 8; i++) {
      uint64_t got = 0;
      if (driver_get(pool, 7, i, &got) == 0) sim_check(got == content + i, "a file's page is another's");
    }
    driver_pool_destroy(pool);
  }
}

void suspendAndResume(void *argument) {
  Scene &scene = *static_cast<Scene *>(argument);
  for (uint32_t round = 0; round < 2; round++) {
    for (uint32_t i = sim_random(200); i > 0; i--) sim_point(false);
    if (driver_suspend(scene.dev) != 0) continue;
    for (uint32_t i = sim_random(20); i > 0; i--) sim_point(false);
    driver_resume(scene.dev);
  }
}

/** The service's administrator drops the guest's pools. */
void loseSession(void *argument) {
  Scene &scene = *static_cast<Scene *>(argument);
  for (uint32_t round = sim_random(3); round < 3; round++) {
    for (uint32_t i = sim_random(300); i > 0; i--) sim_point(false);
    scene.losses++;
    scene.host.loseSession();
  }
}

void checkHost(const Scene &scene, const std::vector<std::unique_ptr<Worker>> &workers) {
  uint64_t persistent = 0;
  for (const auto &worker : workers) {
    for (uint64_t object = 0; object < kObjects; object++) {
      for (uint32_t i = 0; i < kPagesOfWorker; i++) {
        const uint32_t index = worker->index(i);
        const Page &page = worker->persistent[object][i];
        const auto found = scene.host.pages.find({driver_pool_id(scene.persistent), object, index});
        const bool there = found != scene.host.pages.end();
        const bool kept = driver_keeps(scene.persistent, object, index);
        persistent += page.content ? 1 : 0;
        sim_check(page.content || !there, "page %u of object %u was flushed, and the host has it", index,
                  static_cast<unsigned>(object));
        const bool lost = !there && page.losses != scene.losses;
        sim_check(!page.content || kept || lost || (there && found->second == *page.content),
                  "page %u of object %u: the host has not what was put last", index,
                  static_cast<unsigned>(object));
        const Page &clean = worker->ephemeral[object][i];
        const auto other = scene.host.pages.find({driver_pool_id(scene.ephemeral), object, index});
        if (other == scene.host.pages.end() || clean.maybe) continue;
        sim_check(clean.content && other->second == *clean.content,
                  "ephemeral page %u of object %u was flushed or got, and the host has it", index,
                  static_cast<unsigned>(object));
      }
    }
  }
  sim_check(driver_held(scene.dev) == static_cast<int64_t>(persistent), "%lld pages are counted and %llu are there",
            static_cast<long long>(driver_held(scene.dev)), static_cast<unsigned long long>(persistent));
}

/** Whatever was lost, writes go on. */
void checkNewSession(Scene &scene) {
  const uint64_t content = scene.next_content++;
  uint64_t got = 0;
  int err = driver_put(scene.persistent, kObjects, 0, content);
  // A put that is not a disk's does not wait for queues that are closed.
  for (uint32_t tries = 0; (err == -ESTALE || err == -EAGAIN) && tries < 1000; tries++) {
    sim_check(driver_await_session(scene.dev), "no session comes in place of the lost one");
    sim_block(sim_now() + 1);
    err = driver_put(scene.persistent, kObjects, 0, content);
  }
  sim_check(err == 0 || err == -ENOSPC || (scene.slow && (err == -ETIMEDOUT || err == -EAGAIN)),
            "a write after the loss fails: %d", err);
  if (err == 0)
    sim_check(driver_get(scene.persistent, kObjects, 0, &got) == 0 && got == content, "another page");
  driver_flush(scene.persistent, kObjects, 0);
  driver_settle(scene.dev);
}

/** What kind of run it is follows from the seed, too. */
void randomRun(void *) {
  static constexpr unsigned int kRingSizes[] = {8, 16, 64};
  auto scene = std::make_unique<Scene>();
  host = &scene->host;
  scene->workers = 2 + sim_random(3);
  scene->reserve = sim_random(2) == 0 ? 1000 : sim_random(20);
  scene->slow = sim_random(8) == 0;
  scene->loses = sim_random(4) == 0;
  warnings_expected = scene->slow || scene->loses;
  if (scene->slow) {
    scene->host.stalled_percent = 10;
    scene->host.stall_ms = 400 + sim_random(2000);
  }
  if (sim_random(2) == 0) scene->host.refused_percent = 20;
  if (sim_random(2) == 0) scene->host.dropped_percent = 20;
  scene->dev = driver_create(1 + sim_random(2), kRingSizes[sim_random(3)], scene->reserve);
  scene->persistent = scene->loses ? driver_disk_create(scene->dev) : driver_pool_create(scene->dev, true);
  scene->ephemeral = driver_pool_create(scene->dev, false);

  std::vector<std::unique_ptr<Worker>> workers;
  std::vector<sim_task *> tasks;
  for (uint32_t i = 0; i < scene->workers; i++) {
    workers.push_back(std::make_unique<Worker>());
    workers.back()->scene = scene.get();
    workers.back()->number = i;
    tasks.push_back(sim_spawn("worker", work, workers.back().get()));
  }
  // Who mounts is frozen while the machine sleeps; who reclaims memory may not be.
  if (sim_random(2) == 0)
    tasks.push_back(sim_spawn("mount", mountAndUnmount, scene.get()));
  else if (sim_random(2) == 0)
    tasks.push_back(sim_spawn("suspend", suspendAndResume, scene.get()));
  if (scene->loses) tasks.push_back(sim_spawn("administrator", loseSession, scene.get()));
  for (sim_task *task : tasks) sim_join(task);

  driver_settle(scene->dev);
  if (scene->loses) checkNewSession(*scene);
  checkHost(*scene, workers);
  sim_check(scene->slow || scene->host.poolless == 0, "a request came after its pool had been dropped");
  sim_check(scene->slow || driver_rekicks(scene->dev) == 0, "somebody waited a second: a wake-up or a notification is lost");
  driver_pool_destroy(scene->persistent);
  driver_pool_destroy(scene->ephemeral);
  driver_free(scene->dev);
  warnings_expected = false;
}

uint64_t fromEnvironment(const char *name, uint64_t otherwise) {
  const char *value = getenv(name);
  return value != nullptr ? strtoull(value, nullptr, 0) : otherwise;
}

/** Pages of object 0 whose content is their index. */
void readPages(void *pool, uint32_t from, uint32_t to) {
  for (uint32_t i = from; i < to; i++) {
    uint64_t content = 0;
    if (driver_get(static_cast<vtmem_pool *>(pool), 0, i, &content) == 0)
      sim_check(content == i, "page %u is %llu", i, static_cast<unsigned long long>(content));
  }
}

using Alone = void (*)(driver *dev, Host &store);

/** Runs with a driver of one queue to itself, whose host guarantees so many pages. */
void alone(uint64_t reserve, Alone run) {
  struct Task {
    uint64_t reserve;
    Alone run;
  } mine{reserve, run};
  sim_run(
      1, 0,
      [](void *argument) {
        const Task &task = *static_cast<const Task *>(argument);
        Host store;
        host = &store;
        driver *dev = driver_create(1, 64, task.reserve);
        task.run(dev, store);
        driver_free(dev);
      },
      &mine);
}

/** Of the processor: on a busy machine the same is done as on an idle one. */
uint64_t secondsUsed() {
  timespec used;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return static_cast<uint64_t>(used.tv_sec);
}

}  // namespace

extern "C" void kernel_warning(const char *text) { sim_check(warnings_expected, "the driver warns: %s", text); }

TEST_CASE("a get is not answered from a refused older copy after a put that was waited for") {
  alone(1000, [](driver *dev, Host &store) {
    vtmem_pool *pool = driver_pool_create(dev, true);
    uint64_t content = 0;

    store.refuse_next = 1;
    sim_check(driver_put_staged(pool, 0, 5, 1) == 0, "the older put is not staged");
    sim_check(driver_put(pool, 0, 5, 2) == 0, "the newer put is not taken");
    sim_check(driver_get(pool, 0, 5, &content) == 0 && content == 2, "the older page is returned: %llu",
              static_cast<unsigned long long>(content));
  });
}

TEST_CASE("a page that is staged twice does not join an older slot the second time: the host ends with the newer one") {
  alone(1000, [](driver *dev, Host &) {
    uint64_t content = 0;

    for (const bool persistent : {true, false}) {
      vtmem_pool *pool = driver_pool_create(dev, persistent);
      for (const auto &[index, newest] : {std::pair{7, 1}, {9, 2}, {8, 3}, {9, 4}})
        sim_check(driver_put_staged(pool, 0, index, newest) == 0, "page %d is not staged", index);
      driver_settle(dev);
      sim_check(driver_get(pool, 0, 9, &content) == 0 && content == 4, "the older page is returned: %llu",
                static_cast<unsigned long long>(content));
    }
  });
}

TEST_CASE("a get is not answered from a refused older copy after a newer one was stored") {
  alone(1000, [](driver *dev, Host &store) {
    vtmem_pool *pool = driver_pool_create(dev, true);
    uint64_t content = 0;

    store.refuse_next = 1;
    sim_check(driver_put_staged(pool, 0, 5, 1) == 0, "the older put is not staged");
    sim_check(driver_put_staged(pool, 0, 5, 2) == 0, "the newer put is not staged");
    driver_settle(dev);
    sim_check(driver_kept(dev) == 0, "the older copy is kept");
    sim_check(driver_get(pool, 0, 5, &content) == 0 && content == 2, "the older page is returned: %llu",
              static_cast<unsigned long long>(content));
  });
}

TEST_CASE("nothing beyond the reserve is staged") {
  alone(2, [](driver *dev, Host &) {
    vtmem_pool *pool = driver_pool_create(dev, true);

    sim_check(driver_put_staged(pool, 0, 1, 1) == 0 && driver_put_staged(pool, 0, 2, 2) == 0, "they are not staged");
    sim_check(driver_put_staged(pool, 0, 3, 3) == -EDQUOT, "a put that may be refused is staged");
    driver_flush(pool, 0, 1);
    driver_settle(dev);
    sim_check(driver_put_staged(pool, 0, 3, 3) == 0, "what was flushed is still counted");
  });
}

TEST_CASE("an answer that tells of more pages than were asked about is not believed") {
  alone(1000, [](driver *dev, Host &store) {
    vtmem_pool *pool = driver_pool_create(dev, true);
    uint64_t content = 0;

    store.refuse_next = 1;
    store.overdo_next = 1;
    sim_check(driver_put_staged(pool, 0, 5, 1) == 0, "it is not staged");
    driver_settle(dev);
    sim_check(driver_get(pool, 0, 5, &content) == 0 && content == 1, "its only copy was let go of");
  });
}

TEST_CASE("an object's flush that is owed does not take what is put after it") {
  alone(1000, [](driver *dev, Host &store) {
    vtmem_pool *pool = driver_pool_create(dev, true);
    uint64_t content = 0;

    sim_check(driver_put(pool, 0, 4, 1) == 0 && driver_put(pool, 0, 5, 2) == 0, "the pages are not put");
    driver_flush_object(pool, 0);
    sim_check(driver_put_staged(pool, 0, 5, 3) == 0, "it is not staged");
    driver_settle(dev);
    sim_check(driver_get(pool, 0, 5, &content) == 0 && content == 3, "the new page is lost");
    sim_check(store.pages.size() == 1, "the flush is forgotten");
  });
}

TEST_CASE("a window on its way is not used for another, also where the one before it brought nothing") {
  for (uint64_t seed = 1; seed <= 1000; seed++) {
    sim_run(
        seed, static_cast<unsigned int>(seed % 4),
        [](void *) {
          constexpr uint32_t kPages = 40;
          Host store;
          host = &store;
          // Room in the ring for two windows: the first reader has both.
          driver *dev = driver_create(1, 64, 0);
          vtmem_pool *pool = driver_pool_create(dev, false);
          for (uint32_t i = 0; i < kPages; i++)
            sim_check(driver_put_staged(pool, 0, i, i) == 0, "it is not staged");
          driver_settle(dev);
          store.pages.erase({driver_pool_id(pool), 0, 1});
          sim_task *first = sim_spawn("first", [](void *argument) { readPages(argument, 0, 2); }, pool);
          sim_task *second = sim_spawn(
              "second",
              [](void *argument) {
                for (uint32_t i = sim_random(150); i > 0; i--) sim_point(false);
                readPages(argument, 2, 8);
              },
              pool);
          sim_join(first);
          sim_join(second);
          driver_settle(dev);
          driver_free(dev);
        },
        nullptr);
  }
}

TEST_CASE("the copy of a refused page answers gets until the page is put again or flushed") {
  alone(1000, [](driver *dev, Host &store) {
    vtmem_pool *pool = driver_pool_create(dev, true);
    uint64_t content = 0;

    store.refuse_next = 1;
    sim_check(driver_put_staged(pool, 0, 5, 1) == 0, "it is not staged");
    driver_settle(dev);
    sim_check(driver_kept(dev) == 1 && store.pages.empty(), "it is not kept");
    sim_check(driver_get(pool, 0, 5, &content) == 0 && content == 1, "its copy is lost");
    driver_flush(pool, 0, 5);
    sim_check(driver_get(pool, 0, 5, &content) == -ENOENT, "a flush does not reach it");
    sim_check(driver_kept(dev) == 0, "its slot stays taken");
  });
}

TEST_CASE("a disk whose session was lost has another one: what it had fails, and what is written then is there") {
  sim_run(
      1, 0,
      [](void *) {
        Host store;
        host = &store;
        warnings_expected = true;
        driver *dev = driver_create_bare(1, 64, 1000);
        vtmem_pool *other = driver_pool_create(dev, false);
        vtmem_pool *pool = driver_disk_create(dev);
        uint64_t content = 0;

        sim_check(driver_put(pool, 0, 5, 1) == 0 && driver_put(pool, 0, 6, 2) == 0, "it is not put");
        store.loseSession();
        sim_check(driver_put(pool, 0, 5, 3) == -ESTALE, "a put without a session is taken");
        sim_check(driver_await_session(dev), "no session comes in place of the lost one");
        sim_check(store.sessions == 2, "there are %d sessions", static_cast<int>(store.sessions));
        sim_check(driver_put(pool, 0, 5, 4) == 0, "what is written then fails");
        sim_check(driver_get(pool, 0, 5, &content) == 0 && content == 4, "what is written then is lost");
        sim_check(driver_get(pool, 0, 6, &content) != 0 && driver_remembers(pool, 0, 6),
                  "a lost page is taken for one that was never written");
        sim_check(store.persistent[driver_pool_id(pool)] && !store.persistent[driver_pool_id(other)],
                  "a pool has another's place");
        driver_flush(pool, 0, 6);
        driver_settle(dev);
        sim_check(driver_held(dev) == 1, "%d pages are counted", static_cast<int>(driver_held(dev)));
        driver_free(dev);
        warnings_expected = false;
      },
      nullptr);
}

TEST_CASE("an answer wakes who waits for it, and a free slot one of those who wait for a slot") {
  sim_run(
      1, 0,
      [](void *) {
        struct Load {
          vtmem_pool *pool;
          uint32_t index;
        };
        constexpr uint32_t kLoads = 12;
        Host store;
        host = &store;
        driver *dev = driver_create(1, 64, 0);
        vtmem_pool *pool = driver_pool_create(dev, true);
        for (uint32_t i = 0; i < kLoads; i++)
          sim_check(driver_put(pool, 0, i, i) == 0, "the page is not put");

        store.stalled_percent = 100;
        store.stall_ms = 5;
        const uint64_t woken = driver_woken(), sleeps = driver_sleeps(dev);
        std::vector<sim_task *> tasks;
        Load loads[kLoads];
        for (uint32_t i = 0; i < kLoads; i++) {
          loads[i] = {pool, i};
          tasks.push_back(sim_spawn(
              "load",
              [](void *argument) {
                const Load &load = *static_cast<Load *>(argument);
                uint64_t content = 0;
                sim_check(driver_get(load.pool, 0, load.index, &content) == 0 && content == load.index,
                          "another page");
              },
              &loads[i]));
        }
        for (sim_task *task : tasks) sim_join(task);
        sim_check(driver_sleeps(dev) - sleeps >= kLoads - 1, "they did not have to sleep");
        sim_check(driver_woken() - woken <= driver_sleeps(dev) - sleeps, "%llu were woken from %llu sleeps",
                  static_cast<unsigned long long>(driver_woken() - woken),
                  static_cast<unsigned long long>(driver_sleeps(dev) - sleeps));
        driver_free(dev);
      },
      nullptr);
}

TEST_CASE("a device pays for staged puts and windows only where a front end uses them, also after suspend") {
  sim_run(
      1, 0,
      [](void *) {
        Host store;
        host = &store;
        // What a disk has: slots, and a page each for those that are waited for.
        constexpr uint64_t kBare = 100 << 10;
        driver *bare = driver_create_bare(1, 512, 1000);
        vtmem_pool *pool = driver_pool_create(bare, true);
        uint64_t content = 0;
        for (uint32_t round = 0; round < 2; round++) {
          // Of the control queue, slots; it has no pages.
          sim_check(driver_memory(bare) < kBare + (30 << 10), "%llu bytes",
                    static_cast<unsigned long long>(driver_memory(bare)));
          sim_check(driver_put_staged(pool, 0, 1, 1) == -EBUSY, "a put is staged and there is no block");
          sim_check(driver_put(pool, 0, 1, 7) == 0 && driver_get(pool, 0, 1, &content) == 0 && content == 7,
                    "what is waited for does not work");
          sim_check(driver_suspend(bare) == 0, "no suspend");
          driver_resume(bare);
        }
        driver_free(bare);

        driver *full = driver_create(1, 512, 1000);
        pool = driver_pool_create(full, true);
        for (uint32_t round = 0; round < 2; round++) {
          sim_check(driver_memory(full) > (16 + 8) * 16 * 4096, "there are fewer blocks than slots");
          sim_check(driver_put_staged(pool, 0, 1, round) == 0, "no put is staged");
          driver_settle(full);
          sim_check(driver_suspend(full) == 0, "no suspend");
          driver_resume(full);
        }
        driver_free(full);
      },
      nullptr);
}

TEST_CASE("whatever the schedule, a get returns the newest page, no flush is lost, nothing freed is used") {
  if (getenv("TMEMD_SEED") != nullptr) {
    sim_run(fromEnvironment("TMEMD_SEED", 0), static_cast<unsigned int>(fromEnvironment("TMEMD_STRATEGY", 0)), randomRun,
            nullptr);
    return;
  }
  const uint64_t end = secondsUsed() + fromEnvironment("TMEMD_SECONDS", 8);
  uint64_t seed = std::random_device{}();
  uint64_t runs = 0;
  seed = seed << 20;
  do {
    sim_run(seed + runs, static_cast<unsigned int>(runs % 4), randomRun, nullptr);
    runs++;
  } while (secondsUsed() < end);
  MESSAGE(runs << " schedules, from seed " << seed);
  CHECK(runs > 0);
}
