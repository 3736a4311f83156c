#include "interleave/program.h"

#include <random>

#include "interleave/program_parts.h"

namespace interleave {

// Pages 1 to 15 compress, 16 to 31 do not.
std::vector<Program> fixedPrograms() {
  std::vector<Program> all;
  {
    // So short that every schedule of three preemptions is tried.
    Program p{.name = "one-get-one-put"};
    p.before = {put(0, kPersistent, 0, 1), put(0, kEphemeral, 0, 2)};
    p.threads = {{get(0, kPersistent, 0)}, {put(0, kPersistent, 0, 3)}};
    all.push_back(p);
    p.name = "one-get-one-flush";
    p.threads = {{get(0, kPersistent, 0)}, {flush(0, kPersistent, 0)}};
    all.push_back(p);
    p.name = "two-puts";
    p.shares = 2;
    p.threads = {{put(0, kPersistent, 0, 3)}, {put(0, kPersistent, 0, 4)}};
    all.push_back(p);
    p.name = "one-put-one-flush";
    p.threads = {{put(0, kPersistent, 0, 3)}, {flush(0, kPersistent, 0)}};
    all.push_back(p);
    p.shares = 1;
    p.oneGroup = true;
    p.name = "one-duplicate-comes-as-one-goes";
    p.threads = {{put(1, kPersistent, 0, 1)}, {flush(0, kPersistent, 0)}};
    all.push_back(p);
  }
  {
    Program p{.name = "get-while-settled"};
    p.oneGroup = true;
    p.before = {put(0, kPersistent, 0, 1)};
    p.threads = {{get(0, kPersistent, 0)}, {of(O::kRecompress, 0), put(1, kPersistent, 0, 2)}};
    all.push_back(p);
    p.name = "get-while-settled-by-a-third";
    p.threads = {{get(0, kPersistent, 0)}, {of(O::kRecompress, 0)}, {put(1, kPersistent, 0, 2)}};
    all.push_back(p);
  }
  {
    Program p{.name = "get-while-evicted"};
    p.before = {put(0, kEphemeral, 0, 16)};
    p.full = true;
    p.threads = {{get(0, kEphemeral, 0)}, {put(1, kPersistent, 0, 17), put(1, kPersistent, 1, 18)}};
    all.push_back(p);
  }
  {
    Program p{.name = "get-while-replaced"};
    p.before = {put(0, kPersistent, 0, 1), put(0, kEphemeral, 0, 2)};
    p.threads = {{of(O::kGetTwo, 0, kPersistent, 0), get(0, kEphemeral, 0)},
                 {put(0, kPersistent, 0, 3), put(0, kPersistent, 1, 4), put(0, kEphemeral, 0, 5)}};
    all.push_back(p);
    p.name = "get-while-flushed";
    p.threads = {{get(0, kPersistent, 0), get(0, kEphemeral, 0)},
                 {flush(0, kPersistent, 0), put(0, kPersistent, 1, 4), of(O::kFlushObject, 0, kEphemeral)}};
    all.push_back(p);
    p.name = "exclusive-get-while-replaced";
    p.shares = 4;
    p.threads = {{of(O::kGetExclusive, 0, kEphemeral, 0), get(0, kEphemeral, 0)},
                 {put(0, kEphemeral, 0, 3), put(0, kEphemeral, 1, 4)}};
    all.push_back(p);
    p.shares = 1;
    p.name = "get-while-reset";
    p.threads = {{get(0, kPersistent, 0), put(0, kPersistent, 0, 7), get(0, kPersistent, 0)}, {of(O::kReset, 0)}};
    all.push_back(p);
  }
  {
    Program p{.name = "duplicates"};
    p.oneGroup = true;
    p.before = {put(0, kPersistent, 0, 1)};
    p.threads = {{put(0, kPersistent, 1, 1), get(0, kPersistent, 1)}, {flush(0, kPersistent, 0), put(1, kPersistent, 0, 2)},
                 {put(1, kPersistent, 1, 1), get(1, kPersistent, 1)}};
    all.push_back(p);
    p.name = "duplicates-settled";
    p.threads = {{put(0, kPersistent, 1, 1), get(0, kPersistent, 0)}, {of(O::kRecompress, 0)},
                 {put(1, kPersistent, 1, 1), flush(1, kPersistent, 1)}};
    all.push_back(p);
    p.name = "neighbours";
    p.threads = {{of(O::kPutTwo, 0, kPersistent, 0, 1), of(O::kGetTwo, 0, kPersistent, 0)},
                 {of(O::kPutTwo, 1, kPersistent, 0, 1), flush(1, kPersistent, 1)}};
    all.push_back(p);
  }
  {
    // Contract 5: guest 0's ephemeral pages yield at any time.
    Program p{.name = "put-while-pools-come-and-go"};
    p.full = true;
    p.threads = {{of(O::kMakePool, 0)}, {put(1, kPersistent, 0, 17), put(1, kPersistent, 1, 18)}};
    all.push_back(p);
    p.name = "two-puts-need-room";
    p.guests = 3;
    p.threads = {{put(1, kPersistent, 0, 17), put(1, kPersistent, 1, 18)}, {put(2, kPersistent, 0, 19), put(2, kPersistent, 1, 20)}};
    all.push_back(p);
    p.name = "put-while-what-yields-is-flushed";
    p.guests = 2;
    p.threads = {{put(1, kPersistent, 0, 17)}, {{O::kFlushObject, 0, kEphemeral, 1}}};
    all.push_back(p);
    p.name = "put-while-the-last-span-is-evicted";
    p.before = {put(0, kEphemeral, 1, 1), put(1, kPersistent, 2, 3)};
    p.threads = {{of(O::kPutTwo, 1, kPersistent, 2, 4), put(0, kEphemeral, 2, 2)},
                 {of(O::kGetTwo, 0, kPersistent, 1), put(0, kPersistent, 0, 4)},
                 {of(O::kFlushObject, 0, kEphemeral), of(O::kPutTwo, 1, kEphemeral, 0, 1), get(1, kEphemeral, 0)}};
    all.push_back(p);
    p.before = {};
    p.name = "put-while-counted";
    p.threads = {{put(1, kPersistent, 0, 17)}, {of(O::kCount, 0)}, {of(O::kMakePool, 1)}};
    all.push_back(p);
  }
  {
    Program p{.name = "put-while-another-guest-goes"};
    p.before = {put(0, kPersistent, 0, 1), put(0, kEphemeral, 0, 2), put(1, kPersistent, 0, 1)};
    p.oneGroup = true;
    p.threads = {{of(O::kRemove, 0)}, {put(1, kPersistent, 1, 1), get(1, kPersistent, 0)}};
    all.push_back(p);
    p.name = "put-of-a-guest-that-goes-and-comes";
    p.threads = {{of(O::kRejoin, 0)}, {put(0, kPersistent, 0, 3), get(0, kPersistent, 0)}, {put(1, kPersistent, 1, 17)}};
    all.push_back(p);
    p.name = "drop-while-settled-and-put";
    p.threads = {{of(O::kDrop, 0)}, {of(O::kRecompress, 0), put(1, kPersistent, 1, 3)}, {get(0, kPersistent, 0)}};
    all.push_back(p);
    p.full = true;
    p.name = "put-needs-room-of-a-guest-that-goes";
    p.threads = {{of(O::kRemove, 0)}, {put(1, kPersistent, 1, 17), put(1, kPersistent, 2, 18)}};
    all.push_back(p);
  }
  {
    // Fifteen of these fill a span, and eight are open: the first two are closed and sparse.
    Program p{.name = "put-while-drained"};
    p.capacityBytes = 2 << 20;
    p.before = {put(0, kPersistent, 0, 1), put(1, kPersistent, 0, 2)};
    p.fillers = 285;
    p.holes = {{1, 15}, {16, 30}};
    p.threads = {{of(O::kDrain, 0)}, {get(0, kPersistent, 0), put(0, kPersistent, 0, 17)}, {put(1, kPersistent, 0, 3), get(1, kPersistent, 0)}};
    all.push_back(p);
    p.name = "pack-while-drained-and-got";
    p.threads = {{of(O::kDrain, 0)}, {put(0, kPersistent, 1, 17), put(0, kPersistent, 2, 18)}, {get(0, kPersistent, 0)}};
    all.push_back(p);
  }
  {
    // Contract 6.
    Program p{.name = "puts-within-the-reserve"};
    p.reservePages = 4;
    p.capacityBytes = 3 << 19;
    p.full = true;
    for (uint32_t i = 0; i < 4; i++) p.before.push_back(put(1, kPersistent, i, 1 + i));
    p.threads = {{put(1, kPersistent, 0, 17), put(1, kPersistent, 1, 18)}, {get(1, kPersistent, 0), get(1, kPersistent, 1)},
                 {put(1, kPersistent, 2, 19), flush(1, kPersistent, 2)}};
    all.push_back(p);
  }
  return all;
}

Program randomProgram(uint64_t seed) {
  std::mt19937_64 random(seed);
  auto below = [&](uint64_t n) { return static_cast<uint32_t>(random() % n); };
  Program p{.name = "random:" + std::to_string(seed)};
  p.guests = 2;
  p.oneGroup = below(2);
  p.full = below(3) == 0;
  if (!p.full && below(4) == 0) p.reservePages = 2 + below(3);
  for (uint32_t guest = 0; guest < p.guests; guest++) {
    for (uint32_t index = 0; index < 3; index++) {
      if (below(2)) p.before.push_back(put(guest, true, index, 1 + below(4)));
      if (below(2)) p.before.push_back(put(guest, false, index, 1 + below(4)));
    }
  }
  uint32_t threads = 2 + below(3);
  for (uint32_t t = 0; t < threads; t++) {
    std::vector<O>& list = p.threads.emplace_back();
    uint32_t count = 1 + below(threads == 2 ? 4 : 3);
    for (uint32_t i = 0; i < count; i++) {
      uint32_t guest = below(p.guests);
      bool persistent = below(2);
      uint32_t index = below(3);
      uint32_t page = below(3) == 0 ? 16 + below(4) : 1 + below(4);
      switch (below(14)) {
        case 0: case 1: case 2: list.push_back(put(guest, persistent, index, page)); break;
        case 3: list.push_back(of(O::kPutTwo, guest, persistent, index, page)); break;
        case 4: case 5: case 6: list.push_back(get(guest, persistent, index)); break;
        case 7: list.push_back(of(O::kGetTwo, guest, persistent, index)); break;
        // Of one key by one thread only: two that run at once may both have it.
        case 8: list.push_back(of(O::kGetExclusive, guest, false, t)); break;
        case 9: list.push_back(flush(guest, persistent, index)); break;
        case 10: list.push_back(of(O::kFlushObject, guest, persistent)); break;
        case 11: list.push_back(of(O::kRecompress, guest)); break;
        case 12: list.push_back(of(below(3) ? O::kMakePool : below(2) ? O::kReset : O::kRejoin, guest)); break;
        default: list.push_back(of(below(3) ? O::kCount : below(2) ? O::kDrop : O::kRemove, guest)); break;
      }
    }
  }
  return p;
}

}  // namespace interleave
