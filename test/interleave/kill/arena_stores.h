// Tells of every store into an arena before it is made: each is a place where the process may be killed,
// so no order in which the engine writes stays untried, whether its author thought of a kill there or not.
//
// The compiler does it: this build is compiled as for ThreadSanitizer, which calls a function before each
// access to memory, but linked with functions of our own. Not told of are what memcpy() and memset() write, and
// read-modify-writes: the pins are all that is changed by those, which no recovery reads. Nor of stores into a frame
// whose header has no check: a recovery passes over it, and cells being made ready would be a thousand kills alike.
#ifndef TMEMD_TEST_INTERLEAVE_ARENA_STORES_H_
#define TMEMD_TEST_INTERLEAVE_ARENA_STORES_H_

#include <cstddef>

namespace interleave {

// One arena at a time. Its frames begin at `framesAt`.
void watchStores(const std::byte* arena, size_t bytes, size_t framesAt, void (*beforeStore)());
// The next arena that is mapped, from when it is.
void watchNextArena(size_t framesAt, void (*beforeStore)());
void watchNoStores();
const std::byte* watchedArena();

}  // namespace interleave

#endif  // TMEMD_TEST_INTERLEAVE_ARENA_STORES_H_
