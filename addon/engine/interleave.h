// Where one thread's work can come between another's: for the build that drives the engine's threads
// through chosen schedules (test/interleave). In every other build these are nothing.
//
// A *scheduling point* stands before each step that other threads can see: a lock, a gate, a pin, an
// entry, a slot, the bytes of a block. What lies between two points touches what is the thread's
// own or what a lock guards, so any order of threads is one of those the points allow. A *wait point* is
// passed each time round by who waits for another thread. The build also hears of mutexes, futexes
// and sleeps, which need no call.
#ifndef TMEMD_ENGINE_INTERLEAVE_H_
#define TMEMD_ENGINE_INTERLEAVE_H_

namespace tmemd {

#ifdef TMEMD_INTERLEAVE
// Both are the scheduler's: any other thread may go on here, and at a wait point another must.
void schedulingPoint();
void waitPoint();
#else
inline void schedulingPoint() {}
inline void waitPoint() {}
#endif

}  // namespace tmemd

#endif  // TMEMD_ENGINE_INTERLEAVE_H_
