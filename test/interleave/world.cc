#include "interleave/world.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#include "interleave/history.h"
#include "interleave/memory.h"
#include "native/store_fixture.h"

namespace interleave {

namespace {

using namespace tmemd;
using Impl = StoreTestAccess::Impl;

constexpr uint32_t kGuestsMax = 3;
constexpr uint32_t kPages = 32;
constexpr uint32_t kIndexes = 8;
constexpr uint32_t kFillerObjectPages = 64;

// One for each fiber, and one more for what is done before and after. Not part of what is brought back.
struct Worker {
  WorkerContext context;
  SettlingEncoder encoder;
  Page out[2];
};
Worker* workers[kThreadsMax + 1];
std::vector<Page> pages;

const Program* program;
bool refusalsJudged;
alignas(64) std::byte storeBytes[sizeof(Store)];
Store* store;
GuestId guests[kGuestsMax];
// By guest, kind and index: of object 0.
History histories[kGuestsMax][2][kIndexes];
uint32_t pagesBefore[kGuestsMax][2][kIndexes];
const char* wrongInRun;
char wrongText[200];

uint32_t numberOf(const Page& page) {
  uint32_t number;
  std::memcpy(&number, page.data(), sizeof number);
  return number < kPages && page == pages[number] ? number : ~0u;
}

PageKey keyAt(bool persistent, uint32_t index) { return keyOf(persistent ? 0 : 1, 0, index); }

void note(const char* what, const Operation& o, uint32_t detail) {
  if (wrongInRun) return;
  std::snprintf(wrongText, sizeof wrongText, "guest %u, %s page %u: %s (%u)", o.guest,
                o.persistent ? "persistent" : "ephemeral", o.index, what, detail);
  wrongInRun = wrongText;
}

void record(const Operation& o, uint32_t index, Event event) {
  event.end = now();
  histories[o.guest][o.persistent][index].add(event);
}

void judgePut(const Operation& o, uint32_t index, uint32_t page, Status status, uint64_t begin) {
  if (status == Status::kOk) {
    record(o, index, {Event::kPut, page, begin, 0});
  } else if (status == Status::kRefused) {
    record(o, index, {Event::kPutRefused, 0, begin, 0});
    if (o.persistent && (refusalsJudged || program->reservePages > 0)) note("a put was refused that must not be", o, page);
  } else if (status != Status::kNoPool && status != Status::kNoSession) {
    note("a put's status is none of a put's", o, static_cast<uint32_t>(status));
  }
}

void judgeGet(const Operation& o, uint32_t index, const Page& out, Status status, uint64_t begin, bool removes) {
  if (status == Status::kOk) {
    uint32_t number = numberOf(out);
    if (number == ~0u) return note("a get brought bytes that nobody put", o, 0);
    record(o, index, {removes ? Event::kGotAndRemoved : Event::kGot, number, begin, 0});
  } else if (status == Status::kMiss) {
    record(o, index, {Event::kMissed, 0, begin, 0});
  } else if (status != Status::kNoPool && status != Status::kNoSession) {
    note("a get found a sound page corrupt", o, static_cast<uint32_t>(status));
  }
}

void put(Worker& worker, const Operation& o, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    std::memcpy(worker.context.page(i), pages[(o.page + i) % kPages].data(), kPageBytes);
  }
  uint64_t begin = now();
  Store::PutResult result = store->put(worker.context, guests[o.guest], keyAt(o.persistent, o.index), count);
  for (uint32_t i = 0; i < count && i <= result.donePages; i++) {
    judgePut(o, o.index + i, (o.page + i) % kPages, i < result.donePages ? Status::kOk : result.status, begin);
  }
}

void get(Worker& worker, const Operation& o, uint32_t count, bool exclusive) {
  GetOp ops[2];
  for (uint32_t i = 0; i < count; i++) {
    ops[i].key = keyAt(o.persistent, o.index + i);
    ops[i].out = worker.out[i].data();
    ops[i].exclusive = exclusive;
  }
  uint64_t begin = now();
  store->get(worker.context, guests[o.guest], {ops, count});
  for (uint32_t i = 0; i < count; i++) judgeGet(o, o.index + i, worker.out[i], ops[i].status, begin, exclusive);
}

void flushed(uint32_t guest, bool persistent, uint32_t from, uint32_t to, uint64_t begin) {
  for (uint32_t i = from; i < to; i++) record({Operation::kFlush, guest, persistent}, i, {Event::kFlushed, 0, begin, 0});
}

// A device has one control queue: what a guest asks for there is done one after the other. Else
// a pool made in between would have the number that a page's key names.
SpinLock controlQueues[kGuestsMax];

void reset(const Operation& o) {
  SpinGuard queue(controlQueues[o.guest]);
  uint64_t begin = now();
  store->reset(guests[o.guest]);
  flushed(o.guest, true, 0, kIndexes, begin);
  flushed(o.guest, false, 0, kIndexes, begin);
  PoolId pool;
  store->createPool(guests[o.guest], true, &pool);
  store->createPool(guests[o.guest], false, &pool);
}

// Every block that the put left as LZ4.
class Recompressing final : public LeafVisitor {
 public:
  Recompressing(const SpanTable& table, uint32_t bin) : table_(table), bin_(bin) {}
  bool enters(Leaf&, bool) override { return true; }
  bool admits(Loc loc) override { return table_.binOf(spanOf(loc)) == bin_; }
  bool wants(Entry entry) override { return entryCodec(entry) == Codec::kLz4; }
  void leaves(Leaf&) override { left++; }

  uint64_t left = 0;

 private:
  const SpanTable& table_;
  const uint32_t bin_;
};

// What the settler does with a guest's leaves, inside the gate for one step at a time. Behind the last of
// them are only free cells, in which schedules would be lost.
void recompress(Worker& worker, const Operation& o) {
  Impl& impl = StoreTestAccess::impl(*store);
  Impl::GuestPlace& at = *impl.place(guests[o.guest]);
  LeafCursor cursor;
  uint64_t left = 0;
  for (LeafWalk::Step walked = LeafWalk::Step::kOn; walked != LeafWalk::Step::kEnd;) {
    if (!at.gate.tryEnterInBackground()) return;
    Guest& guest = *at.guest;
    Recompressing visitor(impl.table, guest.group.bin.id());
    PageInHand page;
    walked = LeafWalk(impl.table, guest, cursor).step(visitor, &page);
    if (walked == LeafWalk::Step::kPage) impl.resettle(worker.context, worker.encoder, guest, page, 1);
    left += visitor.left;
    if (left >= guest.persistentLeaves.liveCells()) walked = LeafWalk::Step::kEnd;
    at.gate.leaveInBackground();
  }
}

void perform(Worker& worker, const Operation& o) {
  GuestId guest = guests[o.guest];
  switch (o.kind) {
    case Operation::kPut: return put(worker, o, 1);
    case Operation::kPutTwo: return put(worker, o, 2);
    case Operation::kGet: return get(worker, o, 1, false);
    case Operation::kGetTwo: return get(worker, o, 2, false);
    case Operation::kGetExclusive: return get(worker, o, 1, true);
    case Operation::kFlush: {
      uint64_t begin = now();
      if (store->flush(worker.context, guest, keyAt(o.persistent, o.index), 1) == Status::kOk) {
        flushed(o.guest, o.persistent, o.index, o.index + 1, begin);
      }
      return;
    }
    case Operation::kFlushObject: {
      uint64_t begin = now();
      ObjectId object{{o.object, 0, 0}};
      if (store->flushObject(worker.context, guest, o.persistent ? 0 : 1, object) == Status::kOk && o.object == 0) {
        flushed(o.guest, o.persistent, 0, kIndexes, begin);
      }
      return;
    }
    case Operation::kReset: return reset(o);
    case Operation::kMakePool: {
      SpinGuard queue(controlQueues[o.guest]);
      PoolId pool;
      if (store->createPool(guest, true, &pool) == Status::kOk) store->destroyPool(guest, pool);
      return;
    }
    case Operation::kRecompress: return recompress(worker, o);
    case Operation::kCount:
      store->counters();
      store->guestCounters(guest);
      return;
  }
}

void bodyOf(uint32_t thread) {
  for (const Operation& o : program->threads[thread]) perform(*workers[thread], o);
}

void beginHistories() {
  for (uint32_t guest = 0; guest < kGuestsMax; guest++) {
    for (uint32_t kind = 0; kind < 2; kind++) {
      for (uint32_t i = 0; i < kIndexes; i++) histories[guest][kind][i].begin(pagesBefore[guest][kind][i], kind);
    }
  }
}

void makePages() {
  for (uint32_t number = 0; number < kPages; number++) {
    Page page = number < 16 ? textPage(number) : randomPage(number);
    std::memcpy(page.data(), &number, sizeof number);
    pages.push_back(page);
  }
  for (Worker*& worker : workers) worker = new Worker;
}

}  // namespace

void prepare(const Program& theProgram, bool judgeRefusals) {
  refusalsJudged = judgeRefusals;
  if (pages.empty()) makePages();
  program = &theProgram;
  randomState = 1;
  wrongInRun = nullptr;
  // The store before is not ended: its memory is taken as it is. Its arena's mapping is.
  static void* arena = nullptr;
  static size_t arenaBytes = 0;
  if (arena) StoreTestAccess::impl(*store).table.~SpanTable();
  clearEngineHeap();
  useEngineHeap(true);
  StoreOptions options = storeOf(program->capacityBytes);
  options.backgroundSettling = false;
  options.hashSecret = 7;
  store = new (storeBytes) Store(options);
  Worker& worker = *workers[kThreadsMax];
  for (uint32_t i = 0; i < program->guests; i++) {
    GuestOptions guest = guestNamed("guest" + std::to_string(i));
    guest.dedupGroup = program->oneGroup ? "group" : "";
    guest.persistentReservePages = program->reservePages;
    guests[i] = store->addGuest(guest);
    reset({Operation::kReset, i});
  }
  for (auto& guest : pagesBefore) {
    for (auto& kind : guest) {
      for (uint32_t& page : kind) page = kNothing;
    }
  }
  beginHistories();
  for (const Operation& o : program->before) perform(worker, o);
  // Up to the last frame, and with nothing evicted yet.
  const SpanTable& filled = StoreTestAccess::impl(*store).table;
  for (uint32_t i = 0; program->full && filled.usage().freeFrames > 0; i++) {
    std::memcpy(worker.context.page(), pages[16 + i % 16].data(), kPageBytes);
    store->put(worker.context, guests[0], keyOf(1, 1 + i / kFillerObjectPages, i % kFillerObjectPages));
  }
  for (uint32_t guest = 0; guest < program->guests; guest++) {
    for (uint32_t kind = 0; kind < 2; kind++) {
      for (uint32_t i = 0; i < kIndexes; i++) {
        GetOp op;
        op.key = keyAt(kind, i);
        op.out = worker.out[0].data();
        store->get(worker.context, guests[guest], {&op, 1});
        if (op.status == Status::kOk) pagesBefore[guest][kind][i] = numberOf(worker.out[0]);
      }
    }
  }
  std::string wrong = store->checkInvariants();
  useEngineHeap(false);
  if (!wrong.empty()) {
    std::fprintf(stderr, "%s: not even before the run: %s\n", program->name.c_str(), wrong.c_str());
    std::exit(2);
  }
  SpanTable& table = StoreTestAccess::impl(*store).table;
  std::byte* frames = table.bytes(0);
  size_t tableBytes = (table.spanCount() * sizeof(SpanSlot) + 4095) / 4096 * 4096;
  arena = frames - tableBytes - kSuperblockBytes;
  arenaBytes = kSuperblockBytes + tableBytes + size_t{table.spanCount() - 1} * kSpanBytes;
  takeSnapshot(static_cast<std::byte*>(arena), arenaBytes);
}

Verdict runOnce(const Schedule& schedule) {
  restoreSnapshot();
  for (Worker* worker : workers) worker->context.scratch().codec.storedRaw = false;
  for (SpinLock& queue : controlQueues) new (&queue) SpinLock;  // a run that got stuck left some locked
  beginHistories();
  wrongInRun = nullptr;
  Verdict verdict;
  useEngineHeap(true);
  RunResult result = run(bodyOf, static_cast<uint32_t>(program->threads.size()), schedule);
  if (!result.stuck) {
    for (uint32_t guest = 0; guest < program->guests; guest++) {
      for (uint32_t kind = 0; kind < 2; kind++) {
        for (uint32_t i = 0; i < kIndexes; i++) {
          if (histories[guest][kind][i].count() == 0 && pagesBefore[guest][kind][i] == kNothing) continue;
          get(*workers[kThreadsMax], {Operation::kGet, guest, kind == 1, 0, i}, 1, false);
        }
      }
    }
  }
  std::string invariants = result.stuck ? result.stuck : store->checkInvariants();
  useEngineHeap(false);
  verdict.steps = result.steps;
  if (wrongInRun) verdict.wrong = wrongInRun;
  for (uint32_t guest = 0; guest < program->guests && verdict.wrong.empty(); guest++) {
    for (uint32_t kind = 0; kind < 2; kind++) {
      for (uint32_t i = 0; i < kIndexes; i++) {
        const History& history = histories[guest][kind][i];
        if (history.isExplained()) continue;
        static const char* const kNames[] = {"put", "put refused", "got", "got and removed", "missed", "flushed"};
        verdict.wrong = "guest " + std::to_string(guest) + (kind ? ", persistent page " : ", ephemeral page ") + std::to_string(i) +
                        ": no order explains, from page " + std::to_string(pagesBefore[guest][kind][i]) + ":";
        for (uint32_t e = 0; e < history.count(); e++) {
          const Event& event = history.event(e);
          verdict.wrong += std::string(" ") + kNames[event.kind] + " " + std::to_string(event.page) + " [" +
                           std::to_string(event.begin - history.event(0).begin) + "," + std::to_string(event.end - history.event(0).begin) + "]";
        }
        break;
      }
    }
  }
  // Copied: what the engine's heap holds goes with the next run.
  if (verdict.wrong.empty() && !invariants.empty()) verdict.wrong = std::string("invariants: ").append(invariants);
  return verdict;
}

}  // namespace interleave
