// Work that a front end can make last as long as it likes, on a thread of its
// own: closing, mapping or looking at descriptors of its choosing, and closing
// sockets in whose queues such descriptors lie.
//
// Not on the JavaScript thread, whom every guest waits for; not in libuv's pool,
// which four of them would stop for everybody. Who starts errands bounds them: a
// connection has one for a message and one for its end.
//
// A thread that may never end cannot be joined. It is detached and touches
// nothing but what it was given.
#ifndef TMEMD_NAPI_ERRAND_H_
#define TMEMD_NAPI_ERRAND_H_

#include <functional>
#include <vector>

#include "device/owned_fd.h"
#include "napi/main_thread.h"

namespace tmemd::binding {

// `work` runs elsewhere; then `done`, if given, on the JavaScript thread, unless the environment has ended.
// Only when no thread can be had does `work` wait for that of another errand.
void runErrand(MainThread& mainThread, std::function<void()> work, MainThread::Closure done = {});

void closeElsewhere(MainThread& mainThread, std::vector<OwnedFd> fds, MainThread::Closure done = {});

}  // namespace tmemd::binding

#endif  // TMEMD_NAPI_ERRAND_H_
