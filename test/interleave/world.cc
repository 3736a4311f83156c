#include "interleave/world.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include "interleave/memory.h"
#include "interleave/operations.h"
#include "interleave/pages.h"

namespace interleave {

using namespace tmemd;

namespace {

constexpr uint32_t kFillerObjectPages = 64;
constexpr uint32_t kOutside = kThreadsMax;  // the worker of what is done before and after

alignas(64) std::byte storeBytes[sizeof(Store)];
std::span<std::byte> arena;
size_t framesAt;
GuestId guestsBefore[kGuestsMax];
uint32_t fillerCount;

void bodyOf(uint32_t thread) {
  for (const Operation& o : model.program->threads[thread]) perform(thread, o);
}

void putFiller(uint32_t number, const Page& page) {
  FillerPlace at = fillerPlace(number);
  WorkerContext& context = workerContext(kOutside);
  std::memcpy(context.page(), page.data(), kPageBytes);
  PoolId pool = model.program->fillers ? 0 : 1;
  Status status = store->put(context, guests[0], keyOf(pool, at.object, at.index));
  if (status == Status::kOk || !model.program->fillers) return;
  std::fprintf(stderr, "%s: filler %u does not fit\n", model.program->name.c_str(), number);
  std::exit(2);
}

void fill() {
  const Program& program = *model.program;
  // Up to the last frame, and with nothing evicted yet.
  const SpanTable& table = StoreTestAccess::impl(*store).table;
  for (uint32_t i = 0; program.full && table.usage().freeFrames > 0; i++) putFiller(i, pageOf(16 + i % 16));
  for (fillerCount = 0; fillerCount < program.fillers; fillerCount++) putFiller(fillerCount, fillerPage(fillerCount));
  for (uint32_t i = 0; i < fillerCount; i++) {
    FillerPlace at = fillerPlace(i);
    if (fillerWasFlushed(program, i)) {
      store->flush(workerContext(kOutside), guests[0], keyOf(0, at.object, at.index), 1);
    }
  }
}

void notePagesBefore() {
  Page out;
  for (uint32_t guest = 0; guest < model.program->guests; guest++) {
    for (uint32_t kind = 0; kind < 2; kind++) {
      for (uint32_t i = 0; i < kIndexes; i++) {
        GetOp op;
        op.key = keyAt(kind, i);
        op.out = out.data();
        store->get(workerContext(kOutside), guests[guest], {&op, 1});
        if (op.status == Status::kOk) model.pagesBefore[guest][kind][i] = numberOf(out);
      }
    }
  }
}

// What is there in the end, as one more get of each key.
void getAll() {
  for (uint32_t guest = 0; guest < model.program->guests; guest++) {
    for (uint32_t kind = 0; kind < 2; kind++) {
      for (uint32_t i = 0; i < kIndexes; i++) {
        if (model.touched(guest, kind, i)) perform(kOutside, {Operation::kGet, guest, kind == 1, 0, i});
      }
    }
  }
}

}  // namespace

uint32_t fillers() { return fillerCount; }
FillerPlace fillerPlace(uint32_t number) { return {1 + number / kFillerObjectPages, number % kFillerObjectPages}; }
bool fillerWasFlushed(const Program& program, uint32_t number) {
  for (const Program::Hole& hole : program.holes) {
    if (number >= hole.from && number < hole.to) return true;
  }
  return false;
}
std::span<const std::byte> arenaBytes() { return arena; }
size_t arenaFramesAt() { return framesAt; }

void prepare(const Program& theProgram, bool judgeRefusals) {
  forgetWork();
  pageOf(0);
  // The store before is not ended: its memory is taken as it is. Its arena's mapping is.
  if (!arena.empty()) StoreTestAccess::impl(*store).table.~SpanTable();
  model.program = &theProgram;
  model.refusalsJudged = judgeRefusals;
  randomState = 1;
  clearEngineHeap();
  useEngineHeap(true);
  StoreOptions options = storeOf(theProgram.capacityBytes);
  options.backgroundSettling = false;
  options.hashSecret = 7;
  store = new (storeBytes) Store(options);
  for (auto& guest : model.pagesBefore) {
    for (auto& kind : guest) {
      for (uint32_t& page : kind) page = kNothing;
    }
  }
  for (Ledger& ledger : model.ledgersBefore) ledger = {};
  model.begin();
  for (uint32_t i = 0; i < theProgram.guests; i++) perform(kOutside, {Operation::kRejoin, i});
  for (const Operation& o : theProgram.before) perform(kOutside, o);
  fill();
  notePagesBefore();
  for (uint32_t i = 0; i < kGuestsMax; i++) {
    model.ledgersBefore[i] = model.ledgers[i];
    guestsBefore[i] = guests[i];
  }
  std::string wrong = store->checkInvariants();
  useEngineHeap(false);
  if (!wrong.empty()) {
    std::fprintf(stderr, "%s: not even before the run: %s\n", theProgram.name.c_str(), wrong.c_str());
    std::exit(2);
  }
  SpanTable& table = StoreTestAccess::impl(*store).table;
  framesAt = kSuperblockBytes + (table.spanCount() * sizeof(SpanSlot) + 4095) / 4096 * 4096;
  arena = {table.bytes(0) - framesAt, framesAt + size_t{table.spanCount() - 1} * kSpanBytes};
  takeSnapshot(arena.data(), arena.size());
}

Verdict runOnce(const Schedule& schedule) {
  restoreSnapshot();
  forgetWork();
  for (uint32_t i = 0; i < kGuestsMax; i++) guests[i] = guestsBefore[i];
  model.begin();
  Verdict verdict;
  useEngineHeap(true);
  verdict.run = run(bodyOf, static_cast<uint32_t>(model.program->threads.size()), schedule);
  std::string invariants;
  if (verdict.run.stuck) {
    invariants = verdict.run.stuck;
  } else if (!verdict.run.killed) {
    getAll();
    invariants = store->checkInvariants();
  }
  useEngineHeap(false);
  if (model.wrong()) verdict.wrong = model.wrong();
  if (verdict.wrong.empty() && !verdict.run.killed) verdict.wrong = model.unexplained();
  // Copied: what the engine's heap holds goes with the next run.
  if (verdict.wrong.empty() && !invariants.empty()) verdict.wrong = std::string("invariants: ").append(invariants);
  return verdict;
}

}  // namespace interleave
