#include "interleave/operations.h"

#include <cstring>
#include <utility>

#include "interleave/pages.h"

namespace interleave {

using namespace tmemd;

Model model;
Store* store;
GuestId guests[kGuestsMax];

namespace {

using Impl = StoreTestAccess::Impl;

// Not part of what is brought back.
struct Worker {
  WorkerContext context;
  SettlingEncoder encoder;
  Page out[2];
};
Worker& workerOf(uint32_t number) {
  static Worker workers[kThreadsMax + 1];
  return workers[number];
}

void record(const Operation& o, uint32_t index, Event event) {
  event.end = now();
  model.histories[o.guest][o.persistent][index].add(event);
}

void judgePut(const Operation& o, uint32_t index, uint32_t page, Status status, uint64_t begin) {
  if (status == Status::kOk) {
    record(o, index, {Event::kPut, page, begin, 0});
  } else if (status == Status::kRefused) {
    record(o, index, {Event::kPutRefused, 0, begin, 0});
    if (o.persistent && (model.refusalsJudged || model.program->reservePages > 0)) model.note("a put was refused that must not be", o, page);
  } else if (status != Status::kNoPool && status != Status::kNoSession) {
    model.note("a put's status is none of a put's", o, static_cast<uint32_t>(status));
  }
}

void judgeGet(const Operation& o, uint32_t index, const Page& out, Status status, uint64_t begin, bool removes) {
  if (status == Status::kOk) {
    uint32_t number = numberOf(out);
    if (number == kNobodysPage) return model.note("a get brought bytes that nobody put", o, 0);
    record(o, index, {removes ? Event::kGotAndRemoved : Event::kGot, number, begin, 0});
  } else if (status == Status::kMiss) {
    record(o, index, {Event::kMissed, 0, begin, 0});
  } else if (status != Status::kNoPool && status != Status::kNoSession) {
    model.note("a get found a sound page corrupt", o, static_cast<uint32_t>(status));
  }
}

void put(Worker& worker, const Operation& o, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    std::memcpy(worker.context.page(i), pageOf((o.page + i) % kPages).data(), kPageBytes);
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

void allFlushed(uint32_t guest, uint64_t begin) {
  flushed(guest, true, 0, kIndexes, begin);
  flushed(guest, false, 0, kIndexes, begin);
}

void createPool(uint32_t guest, bool persistent, PoolId* pool) {
  Ledger& ledger = model.ledgers[guest];
  ledger.then = ledger.pools;
  ledger.then.add(ledger.nextPool, persistent);
  ledger.begin(Ledger::kPools, now());
  if (store->createPool(guests[guest], persistent, pool) == Status::kOk) {
    ledger.pools.add(*pool, persistent);
    ledger.nextPool = *pool + 1;
  }
  ledger.end();
}

void reset(uint32_t guest) {
  Ledger& ledger = model.ledgers[guest];
  ledger.begin(Ledger::kReset, now());
  uint64_t session = store->reset(guests[guest]);
  ledger.end();
  if (session == 0) return;  // it was removed
  ledger.session = session;
  ledger.pools = {};
  ledger.nextPool = 0;
  allFlushed(guest, ledger.begun);
  PoolId pool;
  createPool(guest, true, &pool);
  createPool(guest, false, &pool);
}

void makePool(uint32_t guest) {
  Ledger& ledger = model.ledgers[guest];
  if (ledger.session == 0) return;
  PoolId pool = 0;
  createPool(guest, true, &pool);
  if (pool == 0) return;  // the first is the pages'
  ledger.then = ledger.pools;
  ledger.then.remove(pool);
  ledger.begin(Ledger::kPools, now());
  if (store->destroyPool(guests[guest], pool) == Status::kOk) ledger.pools.remove(pool);
  ledger.end();
}

void dropPools(uint32_t guest) {
  Ledger& ledger = model.ledgers[guest];
  ledger.begin(Ledger::kDrop, now());
  store->dropPools(guests[guest]);
  ledger.end();
  ledger.session = 0;
  ledger.pools = {};
  ledger.nextPool = 0;
  allFlushed(guest, ledger.begun);
}

void removeGuest(uint32_t guest) {
  Ledger& ledger = model.ledgers[guest];
  ledger.begin(Ledger::kLeave, now());
  store->removeGuest(guests[guest]);
  ledger.end();
  ledger.present = false;
  ledger.session = 0;
  ledger.pools = {};
  ledger.nextPool = 0;
  allFlushed(guest, ledger.begun);
}

void rejoin(uint32_t guest) {
  Ledger& ledger = model.ledgers[guest];
  ledger.begin(Ledger::kJoin, now());
  guests[guest] = store->addGuest(guestOptions(guest));
  ledger.end();
  ledger.present = true;
  reset(guest);
}

void control(const Operation& o) {
  SpinGuard queue(controlQueues[o.guest]);
  switch (o.kind) {
    case Operation::kReset: return reset(o.guest);
    case Operation::kMakePool: return makePool(o.guest);
    case Operation::kDrop: return dropPools(o.guest);
    case Operation::kRemove: return removeGuest(o.guest);
    default:
      if (model.ledgers[o.guest].present) removeGuest(o.guest);
      return rejoin(o.guest);
  }
}

// Every block that the put left as LZ4.
class Recompressing final : public LeafVisitor {
 public:
  Recompressing(const SpanTable& table, Bin& bin) : table_(table), bin_(bin) {}
  bool enters(Leaf&, bool) override { return true; }
  bool admits(Loc loc) override { return table_.binOf(spanOf(loc)) == bin_.id(); }
  bool wants(Entry entry) override { return entryCodec(entry) == Codec::kLz4; }
  void leaves(Leaf&) override { left++; }

  uint64_t left = 0;

 private:
  const SpanTable& table_;
  const Bin& bin_;
};

// Every block of a span set apart.
class Draining final : public LeafVisitor {
 public:
  Draining(const SpanTable& table, Bin& bin) : table_(table), bin_(bin) {}
  bool enters(Leaf&, bool) override { return true; }
  bool admits(Loc loc) override {
    if (table_.binOf(spanOf(loc)) != bin_.id()) return false;
    if (std::exchange(span_, spanOf(loc)) != spanOf(loc)) draining_ = bin_.isDraining(loc);
    return draining_;
  }
  bool wants(Entry) override { return true; }
  void leaves(Leaf&) override { left++; }

  uint64_t left = 0;

 private:
  const SpanTable& table_;
  const Bin& bin_;
  SpanNumber span_ = 0;
  bool draining_ = false;
};

// What the settler does with a guest's leaves, inside the gate for one step at a time. Behind the last of
// them are only free cells, in which schedules would be lost.
template <typename Visitor, typename Done>  // Done(Guest&, const PageInHand&)
void walkLeaves(uint32_t guestNumber, Done done) {
  Impl& impl = StoreTestAccess::impl(*store);
  Impl::GuestPlace& at = *impl.place(guests[guestNumber]);
  LeafCursor cursor;
  uint64_t left = 0;
  for (LeafWalk::Step walked = LeafWalk::Step::kOn; walked != LeafWalk::Step::kEnd;) {
    if (!at.gate.tryEnterInBackground()) return;
    if (!at.guest) return at.gate.leaveInBackground();
    Guest& guest = *at.guest;
    Visitor visitor(impl.table, guest.group.bin);
    PageInHand page;
    walked = LeafWalk(impl.table, guest, cursor).step(visitor, &page);
    if (walked == LeafWalk::Step::kPage) done(guest, page);
    left += visitor.left;
    if (left >= guest.persistentLeaves.liveCells()) walked = LeafWalk::Step::kEnd;
    at.gate.leaveInBackground();
  }
}

void recompress(Worker& worker, uint32_t guestNumber) {
  walkLeaves<Recompressing>(guestNumber, [&](Guest& guest, const PageInHand& page) {
    StoreTestAccess::impl(*store).resettle(worker.context, worker.encoder, guest, page, 1);
  });
}

// Of a guest alone in its group.
void drain(Worker& worker, uint32_t guestNumber) {
  Impl& impl = StoreTestAccess::impl(*store);
  Impl::GuestPlace& at = *impl.place(guests[guestNumber]);
  auto inGate = [&](auto step) {
    if (!at.gate.tryEnterInBackground()) return false;
    bool more = at.guest && step(at.guest->group.bin);
    at.gate.leaveInBackground();
    return more;
  };
  Bin::Draining apart;
  while (inGate([&](Bin& bin) { return bin.beginDraining(apart); })) {
  }
  walkLeaves<Draining>(guestNumber, [&](Guest& guest, const PageInHand& page) { impl.moveOut(worker.context, guest, page); });
  while (inGate([](Bin& bin) { return bin.endDraining() > 0; })) {
  }
}

void performUnnoted(Worker& worker, const Operation& o) {
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
    case Operation::kReset:
    case Operation::kMakePool:
    case Operation::kDrop:
    case Operation::kRemove:
    case Operation::kRejoin:
      return control(o);
    case Operation::kRecompress: return recompress(worker, o.guest);
    case Operation::kDrain: return drain(worker, o.guest);
    case Operation::kCount:
      store->counters();
      store->guestCounters(guest);
      return;
  }
}

}  // namespace

PageKey keyAt(bool persistent, uint32_t index) { return keyOf(persistent ? 0 : 1, 0, index); }

GuestOptions guestOptions(uint32_t guest) {
  GuestOptions options = guestNamed("guest" + std::to_string(guest));
  options.dedupGroup = model.program->oneGroup ? "group" : "";
  options.persistentReservePages = model.program->reservePages;
  return options;
}

WorkerContext& workerContext(uint32_t worker) { return workerOf(worker).context; }

void forgetWork() {
  for (uint32_t worker = 0; worker <= kThreadsMax; worker++) workerContext(worker).scratch().codec.storedRaw = false;
  for (SpinLock& queue : controlQueues) new (&queue) SpinLock;
}

void perform(uint32_t worker, const Operation& o) {
  model.inFlight[worker] = {&o, now()};
  performUnnoted(workerOf(worker), o);
  model.inFlight[worker] = {};
}

}  // namespace interleave
