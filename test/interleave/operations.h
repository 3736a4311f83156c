// What threads do to the store of a run, and what they are told goes into the model.
#ifndef TMEMD_TEST_INTERLEAVE_OPERATIONS_H_
#define TMEMD_TEST_INTERLEAVE_OPERATIONS_H_

#include "interleave/model.h"
#include "native/store_fixture.h"

namespace interleave {

extern Model model;
extern tmemd::Store* store;
extern tmemd::GuestId guests[kGuestsMax];

tmemd::PageKey keyAt(bool persistent, uint32_t index);
tmemd::GuestOptions guestOptions(uint32_t guest);
// Of one more than there are fibers: for what is done before and after.
tmemd::WorkerContext& workerContext(uint32_t worker);
void forgetWork();  // that a run did not end
void perform(uint32_t worker, const Operation& operation);

}  // namespace interleave

#endif  // TMEMD_TEST_INTERLEAVE_OPERATIONS_H_
