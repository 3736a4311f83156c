// Kills the engine's threads in chosen schedules before chosen stores to the arena, and says which of the arenas
// they leave do not hold what was promised.
//
//   interleave_kill [--kills N] [--seconds S] [--seed X] [--only NAME]
//   interleave_kill --replay NAME [STEP:THREAD ...] [kill:STORE] [recovery:STORE]
//
// Four fifths of the N kills are of the fixed programs' runs, by their shares: of those with no preemption, from every thread
// to begin with, before every store; of those with one preemption before every store after it, where the share
// is enough for all of them, else such kills by chance. The others are of random programs' random schedules.
// Every run's end is a kill too: it is what a process that stops leaves. One recovery in kRecoveriesPerKill is
// killed itself. S seconds of processor time are the most it may take. What fails is printed with the command that does
// it again.
#include <signal.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "interleave/kill/arena_stores.h"
#include "interleave/kill/programs.h"
#include "interleave/kill/successor.h"
#include "interleave/world.h"

using namespace interleave;

namespace {

// Of the processor: on a busy machine the same is done as on an idle one.
double secondsUsed() {
  timespec used;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) * 1e-9;
}

struct Options {
  uint64_t kills = 23'000;
  double seconds = 300;
  uint64_t seed = 1;
  std::string only;
};

constexpr uint32_t kNoKill = UINT32_MAX;
constexpr uint32_t kRecoveriesPerKill = 8;
constexpr uint64_t kKillsPerRandomProgram = 100;
constexpr uint64_t kFailuresMax = 20;  // of one program; then it is left

uint64_t done = 0;
uint64_t recoveriesKilled = 0;
uint64_t failed = 0;

std::string asText(const Schedule& schedule, uint32_t killRecovery) {
  std::string text;
  for (const Preemption& p : schedule.preemptions()) text.append(" ").append(std::to_string(p.step)).append(":").append(std::to_string(p.thread));
  if (schedule.killBeforeStore != kNoKill) text.append(" kill:").append(std::to_string(schedule.killBeforeStore));
  if (killRecovery != kNoKill) text.append(" recovery:").append(std::to_string(killRecovery));
  return text;
}

// What takes longer does not end: a put that waits for room that a recovery did not set aside, say.
constexpr time_t kSecondsOfOneKill = 60;  // by the clock: it may sleep
std::string underWay;

void tellOfNoEnd(int) {
  constexpr char kText[] = " does not end\n   again: interleave_kill --replay ";
  bool told = write(1, "FAILED", 6) > 0 && write(1, kText, sizeof kText - 1) > 0 &&
              write(1, underWay.data(), underWay.size()) > 0 && write(1, "\n", 1) > 0;
  _exit(told ? 1 : 3);
}

// Of the run, or of what came after it.
Verdict killOnce(const Program& program, const Schedule& schedule, uint32_t killRecovery, uint32_t* recoveryStores) {
  underWay = program.name + asText(schedule, killRecovery);
  itimerval limit{{0, 0}, {kSecondsOfOneKill, 0}};
  setitimer(ITIMER_REAL, &limit, nullptr);
  watchStores(arenaBytes().data(), arenaBytes().size(), arenaFramesAt(), storePoint);
  Verdict verdict = runOnce(schedule);
  watchNoStores();
  if (!verdict.wrong.empty()) return verdict;
  Succession succession = succeed(killRecovery);
  *recoveryStores = succession.stores;
  verdict.wrong = succession.wrong;
  return verdict;
}

class Killer {
 public:
  Killer(const Program& program, uint64_t kills, const Options& options, std::mt19937_64& random)
      : program_(program), kills_(kills), options_(options), random_(random) {
    prepare(program, true);
  }

  void explore() {
    bool none = true, one = true;
    std::vector<Schedule> firsts;
    for (uint32_t first = 0; first < threads(); first++) {
      Schedule schedule;
      if (first > 0) schedule.add(0, first);
      firsts.push_back(schedule);
    }
    for (Schedule& schedule : firsts) none &= killEverywhere(schedule, 0);
    uint64_t runs = uint64_t{steps_} * threads() * (threads() - 1);
    one = none && runs * stores_ / 2 < kills_ - tries_;
    for (size_t i = 0; one && i < firsts.size(); i++) one = preemptEverywhere(firsts[i]);
    uint64_t every = tries_;
    while (!over()) killByChance();
    std::printf("%s: %u threads, %u steps, %u stores, %lu kills, the first %lu of them every one of %s\n", program_.name.c_str(), threads(),
                steps_, stores_, tries_, every, one ? "up to 1 preemption" : none ? "0 preemptions" : "no schedule");
    tell();
  }
  void exploreByChance() {
    tryOne({});
    while (!over()) killByChance();
    tell();
  }

 private:
  uint32_t threads() const { return static_cast<uint32_t>(program_.threads.size()); }
  bool over() const { return tries_ >= kills_ || failures_ >= kFailuresMax || secondsUsed() >= options_.seconds; }

  // True when all were tried.
  bool killEverywhere(Schedule schedule, uint32_t from) {
    schedule.killBeforeStore = kNoKill;
    Verdict whole = tryOne(schedule);
    uint32_t stores = whole.run.stores;
    from = std::max(from, whole.run.storesBeforePreemption);
    for (uint32_t store = from; store < stores; store++) {
      if (over()) return false;
      schedule.killBeforeStore = store;
      tryOne(schedule);
    }
    return true;
  }
  bool preemptEverywhere(const Schedule& prefix) {
    runOnce(prefix);
    std::vector<uint8_t> threadAt(trace().begin(), trace().end());
    for (uint32_t step = prefix.count; step < threadAt.size(); step++) {
      for (uint32_t thread = 0; thread < threads(); thread++) {
        if (thread == threadAt[step]) continue;
        Schedule schedule = prefix;
        schedule.add(step, thread);
        if (!killEverywhere(schedule, 0)) return false;
      }
    }
    return true;
  }
  void killByChance() {
    std::vector<uint32_t> at(random_() % 4);
    for (uint32_t& step : at) step = static_cast<uint32_t>(random_() % (steps_ + 1));
    std::sort(at.begin(), at.end());
    Schedule schedule;
    for (size_t i = 0; i < at.size(); i++) {
      if (i == 0 || at[i] > at[i - 1]) schedule.add(at[i], static_cast<uint32_t>(random_() % threads()));
    }
    schedule.killBeforeStore = static_cast<uint32_t>(random_() % (stores_ + 1));
    tryOne(schedule);
  }

  Verdict tryOne(const Schedule& schedule) {
    uint32_t killRecovery = kNoKill;
    if (recoveryStores_ > 0 && random_() % kRecoveriesPerKill == 0) {
      killRecovery = static_cast<uint32_t>(random_() % recoveryStores_);
      recoveriesKilled++;
    }
    Verdict verdict = killOnce(program_, schedule, killRecovery, &recoveryStores_);
    done++;
    tries_++;
    if (!verdict.run.killed) {
      steps_ = verdict.run.steps;
      stores_ = verdict.run.stores;
    }
    if (verdict.wrong.empty()) return verdict;
    failed++;
    if (failures_++ > 0) return verdict;
    std::printf("FAILED %s: %s\n   again: interleave_kill --replay %s\n", program_.name.c_str(), verdict.wrong.c_str(),
                underWay.c_str());
    std::fflush(stdout);
    return verdict;
  }
  void tell() const {
    if (failures_ > 0) std::printf("   %s: %lu of %lu kills failed\n", program_.name.c_str(), failures_, tries_);
  }

  const Program& program_;
  const uint64_t kills_;
  const Options& options_;
  std::mt19937_64& random_;
  uint32_t steps_ = 0;   // of the last run that came to its end
  uint32_t stores_ = 0;  // likewise
  uint32_t recoveryStores_ = 0;
  uint64_t tries_ = 0;
  uint64_t failures_ = 0;
};

Program named(const std::string& name) {
  for (Program& program : fixedKillPrograms()) {
    if (program.name == name) return program;
  }
  if (name.starts_with("random:")) return randomKillProgram(std::strtoull(name.c_str() + 7, nullptr, 10));
  std::fprintf(stderr, "no program %s\n", name.c_str());
  std::exit(2);
}

int replay(const std::string& name, char** words) {
  Program program = named(name);
  prepare(program, true);
  Schedule schedule;
  uint32_t killRecovery = kNoKill;
  for (; *words; words++) {
    unsigned step, thread;
    if (std::sscanf(*words, "kill:%u", &schedule.killBeforeStore) == 1) continue;
    if (std::sscanf(*words, "recovery:%u", &killRecovery) == 1) continue;
    if (std::sscanf(*words, "%u:%u", &step, &thread) != 2 || schedule.count == kPreemptionsMax) {
      std::fprintf(stderr, "%s: see the head of kill.cc\n", *words);
      return 2;
    }
    schedule.add(step, thread);
  }
  uint32_t recoveryStores;
  Verdict verdict = killOnce(program, schedule, killRecovery, &recoveryStores);
  std::printf("%s, %u steps, %u stores%s: %s\n", name.c_str(), verdict.run.steps, verdict.run.stores,
              verdict.run.killed ? ", killed" : "", verdict.wrong.empty() ? "nothing wrong" : verdict.wrong.c_str());
  return verdict.wrong.empty() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  signal(SIGALRM, tellOfNoEnd);
  Options options;
  for (int i = 1; i < argc; i++) {
    auto value = [&]() -> const char* { return i + 1 < argc ? argv[++i] : "0"; };
    if (!std::strcmp(argv[i], "--replay")) return i + 1 < argc ? replay(argv[i + 1], argv + i + 2) : 2;
    if (!std::strcmp(argv[i], "--kills")) {
      options.kills = std::strtoull(value(), nullptr, 10);
    } else if (!std::strcmp(argv[i], "--seconds")) {
      options.seconds = std::atof(value());
    } else if (!std::strcmp(argv[i], "--seed")) {
      options.seed = std::strtoull(value(), nullptr, 10);
    } else if (!std::strcmp(argv[i], "--only")) {
      options.only = value();
    } else {
      std::fprintf(stderr, "%s: unknown; see the head of kill.cc\n", argv[i]);
      return 2;
    }
  }
  std::printf("seed %lu\n", options.seed);
  std::mt19937_64 random(options.seed);
  std::vector<Program> programs = fixedKillPrograms();
  if (!options.only.empty()) programs = {named(options.only)};
  uint64_t forFixed = options.only.empty() ? options.kills / 5 * 4 : options.kills;
  uint64_t shares = 0;
  for (const Program& program : programs) shares += program.shares;
  for (const Program& program : programs) {
    Killer(program, forFixed * program.shares / shares, options, random).explore();
    std::fflush(stdout);
  }
  uint64_t randomPrograms = 0;
  for (; options.only.empty() && secondsUsed() < options.seconds && done < options.kills; randomPrograms++) {
    Program program = randomKillProgram(random());
    Killer(program, kKillsPerRandomProgram, options, random).exploreByChance();
  }
  std::printf("%lu kills in %.0f s of processor time (%lu random programs, %lu recoveries killed), %lu failed\n", done,
              secondsUsed(), randomPrograms, recoveriesKilled, failed);
  return failed > 0;
}
