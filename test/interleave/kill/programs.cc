// Each is about one thing that a kill may cut short. They are short, for every store of theirs is tried; of 23,000 kills
// their shares suffice for that, and for six of them with one preemption anywhere too.
#include "interleave/kill/programs.h"

#include <random>

#include "interleave/program_parts.h"

namespace interleave {

std::vector<Program> fixedKillPrograms() {
  std::vector<Program> all;
  auto add = [&](Program& p, const char* name, std::vector<std::vector<O>> threads, uint32_t shares = 1) {
    p.name = name;
    p.shares = shares;
    p.threads = std::move(threads);
    all.push_back(p);
  };
  {
    Program p;
    add(p, "first-puts", {{put(0, kPersistent, 0, 1)}, {put(0, kPersistent, 1, 17)}}, 6);
    p.before = {put(0, kPersistent, 0, 1), put(0, kPersistent, 1, 2)};
    add(p, "put-replaces",
        {{put(0, kPersistent, 0, 3), get(0, kPersistent, 0)}, {put(0, kPersistent, 0, 17), get(0, kPersistent, 1)}}, 4);
    add(p, "flush", {{flush(0, kPersistent, 0)}, {put(0, kPersistent, 0, 3), flush(0, kPersistent, 1)}}, 6);
    add(p, "flush-of-object", {{of(O::kFlushObject, 0)}, {put(0, kPersistent, 2, 3)}}, 8);
    add(p, "pool-made-and-destroyed", {{of(O::kMakePool, 0)}, {put(0, kPersistent, 0, 3)}}, 2);
    add(p, "reset", {{of(O::kReset, 0)}, {put(0, kPersistent, 0, 3), get(0, kPersistent, 0)}});
    add(p, "drop", {{of(O::kDrop, 0)}, {put(1, kPersistent, 0, 3)}});
    add(p, "guest-removed", {{of(O::kRemove, 0)}, {put(1, kPersistent, 0, 3)}});
    add(p, "guest-comes-again", {{of(O::kRejoin, 0)}, {put(1, kPersistent, 0, 3)}}, 2);
    p.oneGroup = true;
    add(p, "duplicates", {{put(0, kPersistent, 2, 2), flush(0, kPersistent, 0)}, {put(1, kPersistent, 0, 1)}}, 7);
    add(p, "settled", {{of(O::kRecompress, 0)}, {put(1, kPersistent, 0, 1)}});
  }
  {
    Program p;
    p.before = {put(0, kEphemeral, 0, 16)};
    p.full = true;
    add(p, "evicted", {{put(1, kPersistent, 0, 17)}, {put(1, kPersistent, 1, 18)}}, 3);
    // Contract 6, across a kill.
    p.reservePages = 4;
    p.capacityBytes = 3 << 19;
    p.before = {};
    for (uint32_t i = 0; i < 3; i++) p.before.push_back(put(1, kPersistent, i, 1 + i));
    add(p, "reserve", {{put(1, kPersistent, 0, 17), put(1, kPersistent, 3, 18)}, {put(0, kPersistent, 0, 19)}});
  }
  {
    // Fifteen of these pages fill a span, and eight spans are open; so it is in closed ones that there are holes.
    Program p;
    p.capacityBytes = 3 << 19;
    p.before = {put(0, kPersistent, 0, 1)};
    p.fillers = 150;
    p.holes = {{0, 9}};
    add(p, "packed", {{put(0, kPersistent, 0, 17)}, {put(0, kPersistent, 1, 18)}});
    p.capacityBytes = 2 << 20;
    p.fillers = 285;
    p.holes = {{1, 15}, {16, 30}};
    add(p, "drained", {{of(O::kDrain, 0)}, {put(0, kPersistent, 0, 17)}});
  }
  return all;
}

Program randomKillProgram(uint64_t seed) {
  std::mt19937_64 random(seed);
  auto below = [&](uint64_t n) { return static_cast<uint32_t>(random() % n); };
  Program p{.name = "random:" + std::to_string(seed)};
  p.oneGroup = below(2);
  p.full = below(3) == 0;
  if (!p.full && below(3) == 0) p.reservePages = 2 + below(3);
  for (uint32_t guest = 0; guest < p.guests; guest++) {
    for (uint32_t index = 0; index < 3; index++) {
      if (below(2)) p.before.push_back(put(guest, kPersistent, index, 1 + below(4)));
    }
  }
  uint32_t threads = 2 + below(2);
  for (uint32_t t = 0; t < threads; t++) {
    std::vector<O>& list = p.threads.emplace_back();
    uint32_t count = 1 + below(3);
    for (uint32_t i = 0; i < count; i++) {
      uint32_t guest = below(p.guests);
      uint32_t index = below(3);
      uint32_t page = below(3) == 0 ? 16 + below(4) : 1 + below(4);
      switch (below(16)) {
        case 0: case 1: case 2: case 3: list.push_back(put(guest, kPersistent, index, page)); break;
        case 4: list.push_back(of(O::kPutTwo, guest, kPersistent, index, page)); break;
        case 5: list.push_back(put(guest, kEphemeral, index, page)); break;
        case 6: list.push_back(get(guest, kPersistent, index)); break;
        case 7: case 8: list.push_back(flush(guest, kPersistent, index)); break;
        case 9: list.push_back(of(O::kFlushObject, guest, kPersistent)); break;
        case 10: case 11: list.push_back(of(O::kRecompress, guest)); break;
        case 12: list.push_back(of(O::kMakePool, guest)); break;
        case 13: list.push_back(of(O::kReset, guest)); break;
        case 14: list.push_back(of(O::kDrop, guest)); break;
        default: list.push_back(of(below(2) ? O::kRemove : O::kRejoin, guest)); break;
      }
    }
  }
  return p;
}

}  // namespace interleave
