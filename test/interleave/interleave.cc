// Runs the engine's threads through chosen schedules, and says which of them break what is promised.
//
//   interleave [--refusals] [--schedules N] [--seconds S] [--seed X] [--only NAME]
//   interleave [--refusals] --replay NAME [STEP:THREAD ...]
//
// Half of the N schedules are the fixed programs', by their shares: every schedule of one preemption, from every
// thread to begin with; every one of two and then of three where the share is enough for all of them, else
// such schedules by chance. The other half are random programs' random schedules. S seconds of processor time are the
// most it may take. With --refusals a persistent put refused for want of room is a failure too. What fails is printed with the command that does it again.
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

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
  uint64_t schedules = 1'000'000;
  double seconds = 300;
  uint64_t seed = 1;
  std::string only;
  bool judgeRefusals = false;
};

constexpr uint32_t kPreemptions = 3;
constexpr uint64_t kSchedulesPerRandomProgram = 400;
// Of one program; then it is left.
constexpr uint64_t kFailuresMax = 100;

uint64_t done = 0;
uint64_t failed = 0;

std::string asText(const Schedule& schedule) {
  std::string text;
  for (const Preemption& p : schedule.preemptions()) text.append(" ").append(std::to_string(p.step)).append(":").append(std::to_string(p.thread));
  return text;
}

// Runs one program through schedules.
class Explorer {
 public:
  Explorer(const Program& program, uint64_t schedules, const Options& options)
      : program_(program), schedules_(schedules), options_(options) {
    prepare(program, options.judgeRefusals);
  }

  void explore(std::mt19937_64& random) {
    uint64_t whole = 0;  // how many preemptions every schedule was tried with
    for (uint32_t depth = 1; depth <= kPreemptions && !over(); depth++) {
      uint64_t more = static_cast<uint64_t>(threads() - 1) * steps_ / depth;
      if (depth > 1 && atDepth_ * more > schedules_ - tries_) break;
      atDepth_ = 0;
      for (uint32_t first = 0; first < threads() && !over(); first++) {
        Schedule schedule;
        if (first > 0) schedule.add(0, first);
        tryOne(schedule);
        extend(schedule, depth);
      }
      if (!over()) whole = depth;
    }
    while (!over()) tryRandom(random);
    std::printf("%s: %u threads, %u steps, %lu schedules, all of up to %lu preemptions among them\n", program_.name.c_str(),
                threads(), steps_, tries_, whole);
    tell();
  }
  void exploreByChance(std::mt19937_64& random) {
    tryOne({});
    while (!over()) tryRandom(random);
    tell();
  }

 private:
  uint32_t threads() const { return static_cast<uint32_t>(program_.threads.size()); }
  bool over() const { return tries_ >= schedules_ || failures_ >= kFailuresMax || secondsUsed() >= options_.seconds; }

  void tryOne(const Schedule& schedule) {
    Verdict verdict = runOnce(schedule);
    steps_ = verdict.run.steps;
    done++;
    tries_++;
    if (verdict.wrong.empty()) return;
    failed++;
    if (failures_++ > 0) return;
    std::printf("FAILED %s: %s\n   again: interleave --replay %s%s\n", program_.name.c_str(), verdict.wrong.c_str(),
                program_.name.c_str(), asText(schedule).c_str());
    std::fflush(stdout);
  }
  // Every way to add so many preemptions to a schedule that was just run.
  void extend(const Schedule& prefix, uint32_t preemptions) {
    std::vector<uint8_t> threadAt(trace().begin(), trace().end());
    for (uint32_t step = prefix.count ? prefix.at[prefix.count - 1].step + 1 : 0; step < threadAt.size(); step++) {
      for (uint32_t thread = 0; thread < threads(); thread++) {
        if (thread == threadAt[step]) continue;
        if (over()) return;
        Schedule schedule = prefix;
        schedule.add(step, thread);
        // Run even where only longer ones are new: its length is not known otherwise.
        tryOne(schedule);
        if (preemptions > 1) extend(schedule, preemptions - 1);
        if (preemptions == 1) atDepth_++;
      }
    }
  }
  void tryRandom(std::mt19937_64& random) {
    std::vector<uint32_t> at(1 + random() % (kPreemptions + 1));
    for (uint32_t& step : at) step = static_cast<uint32_t>(random() % (steps_ + 1));
    std::sort(at.begin(), at.end());
    Schedule schedule;
    for (size_t i = 0; i < at.size(); i++) {
      if (i == 0 || at[i] > at[i - 1]) schedule.add(at[i], static_cast<uint32_t>(random() % threads()));
    }
    tryOne(schedule);
  }
  void tell() const {
    if (failures_ > 0) std::printf("   %s: %lu of %lu schedules failed\n", program_.name.c_str(), failures_, tries_);
  }

  const Program& program_;
  const uint64_t schedules_;
  const Options& options_;
  uint32_t steps_ = 0;  // of the last run
  uint64_t tries_ = 0;
  uint64_t atDepth_ = 0;  // schedules of the most preemptions tried so far
  uint64_t failures_ = 0;
};

Program named(const std::string& name) {
  for (Program& program : fixedPrograms()) {
    if (program.name == name) return program;
  }
  if (name.starts_with("random:")) return randomProgram(std::strtoull(name.c_str() + 7, nullptr, 10));
  std::fprintf(stderr, "no program %s\n", name.c_str());
  std::exit(2);
}

int replay(const std::string& name, char** preemptions, const Options& options) {
  Program program = named(name);
  prepare(program, options.judgeRefusals);
  Schedule schedule;
  for (; *preemptions && schedule.count < kPreemptionsMax; preemptions++) {
    unsigned step, thread;
    if (std::sscanf(*preemptions, "%u:%u", &step, &thread) != 2) {
      std::fprintf(stderr, "%s: not STEP:THREAD\n", *preemptions);
      return 2;
    }
    schedule.add(step, thread);
  }
  Verdict verdict = runOnce(schedule);
  std::printf("%s, %u steps: %s\n", name.c_str(), verdict.run.steps, verdict.wrong.empty() ? "nothing wrong" : verdict.wrong.c_str());
  return verdict.wrong.empty() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; i++) {
    auto value = [&]() -> const char* { return i + 1 < argc ? argv[++i] : "0"; };
    if (!std::strcmp(argv[i], "--replay")) return i + 1 < argc ? replay(argv[i + 1], argv + i + 2, options) : 2;
    if (!std::strcmp(argv[i], "--refusals")) {
      options.judgeRefusals = true;
    } else if (!std::strcmp(argv[i], "--schedules")) {
      options.schedules = std::strtoull(value(), nullptr, 10);
    } else if (!std::strcmp(argv[i], "--seconds")) {
      options.seconds = std::atof(value());
    } else if (!std::strcmp(argv[i], "--seed")) {
      options.seed = std::strtoull(value(), nullptr, 10);
    } else if (!std::strcmp(argv[i], "--only")) {
      options.only = value();
    } else {
      std::fprintf(stderr, "%s: unknown; see the head of interleave.cc\n", argv[i]);
      return 2;
    }
  }
  std::printf("seed %lu\n", options.seed);
  std::mt19937_64 random(options.seed);
  std::vector<Program> programs = fixedPrograms();
  if (!options.only.empty()) programs = {named(options.only)};
  uint64_t forFixed = options.only.empty() ? options.schedules / 2 : options.schedules;
  uint64_t shares = 0;
  for (const Program& program : programs) shares += program.shares;
  for (const Program& program : programs) {
    Explorer(program, forFixed * program.shares / shares, options).explore(random);
    std::fflush(stdout);
  }
  uint64_t randomPrograms = 0;
  for (; options.only.empty() && secondsUsed() < options.seconds && done < options.schedules; randomPrograms++) {
    Program program = randomProgram(random());
    Explorer(program, kSchedulesPerRandomProgram, options).exploreByChance(random);
  }
  std::printf("%lu schedules in %.0f s of processor time (%lu random programs), %lu failed\n", done, secondsUsed(),
              randomPrograms, failed);
  return failed > 0;
}
