// Brings a store back to where it was, for the price of a copy: every run begins in the same state, so
// a schedule that failed fails again.
//
// While the *engine's heap* is on, operator new takes from a region of fixed size and address, whose
// lists of free pieces lie in it too. A snapshot is a copy of that region and of the arena.
#ifndef TMEMD_TEST_INTERLEAVE_MEMORY_H_
#define TMEMD_TEST_INTERLEAVE_MEMORY_H_

#include <cstddef>

namespace interleave {

// The heap is empty again: whatever was in it is gone.
void clearEngineHeap();
void useEngineHeap(bool on);

// Of the engine's heap and the arena at `arena`.
void takeSnapshot(std::byte* arena, size_t arenaBytes);
void restoreSnapshot();

}  // namespace interleave

#endif  // TMEMD_TEST_INTERLEAVE_MEMORY_H_
