// What the threads of a run do: a store made ready, and a short list of operations for each thread.
#ifndef TMEMD_TEST_INTERLEAVE_PROGRAM_H_
#define TMEMD_TEST_INTERLEAVE_PROGRAM_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace interleave {

struct Operation {
  enum Kind : uint8_t {
    kPut,
    kPutTwo,  // neighbours, in one put
    kGet,
    kGetTwo,  // neighbours, in one batch
    kGetExclusive,
    kFlush,
    kFlushObject,
    kReset,        // and the two pools again
    kMakePool,     // and destroy it
    kDrop,         // the pools, and the session with them
    kRemove,       // the guest
    kRejoin,       // the guest removed, and added anew
    kRecompress,   // a guest's cold pages, as the settler does
    kDrain,        // a guest's sparse spans, the same
    kCount,        // the store's counters
  } kind;
  uint32_t guest = 0;
  bool persistent = true;
  uint32_t object = 0;
  uint32_t index = 0;
  uint32_t page = 0;  // put: its number
};

struct Program {
  std::string name;
  uint32_t shares = 1;  // of the tries that all fixed programs have
  uint64_t capacityBytes = 1 << 20;
  uint32_t guests = 2;
  bool oneGroup = false;
  uint32_t reservePages = 0;       // of each guest
  std::vector<Operation> before = {};   // one after another, by one thread
  bool full = false;               // before, with ephemeral pages of guest 0: in objects from 1 up
  uint32_t fillers = 0;  // so many persistent pages of guest 0 that none are equal: likewise
  struct Hole {
    uint32_t from;
    uint32_t to;
  };
  std::vector<Hole> holes = {};  // fillers that are flushed again
  std::vector<std::vector<Operation>> threads = {};
};

// Each is about one thing that can go wrong.
std::vector<Program> fixedPrograms();
// Of all kinds of operations, by chance.
Program randomProgram(uint64_t seed);

}  // namespace interleave

#endif  // TMEMD_TEST_INTERLEAVE_PROGRAM_H_
