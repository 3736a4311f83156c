// What must be so. A guest that was acknowledged is there, with the session and pools that were acknowledged; one
// control operation may have been in flight, and then things are as before it or as after it. Its persistent
// pages are what some order of its operations leaves, those in flight done or not; there are no others.
// Ephemeral pages are gone. Every invariant holds, and a put that a successor must take is taken.
#include "interleave/kill/successor.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <memory>

#include "interleave/kill/arena_stores.h"
#include "interleave/operations.h"
#include "interleave/pages.h"
#include "interleave/world.h"

namespace interleave {

using namespace tmemd;

namespace {

constexpr uint64_t kNewObject = 1000;  // no program's
const Page kZeros{};

// A file with an arena's bytes. Pages of zeros are holes, as in an arena.
class Copy {
 public:
  void take(const std::byte* bytes) {
    size_t count = arenaBytes().size();
    if (fd_ >= 0) close(fd_);
    fd_ = memfd_create("tmemd-killed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd_ < 0 || ftruncate(fd_, static_cast<off_t>(count)) != 0) std::abort();
    for (size_t at = 0; at < count; at += kPageBytes) {
      if (std::memcmp(bytes + at, kZeros.data(), kPageBytes) != 0) write(bytes + at, at);
    }
  }
  int fd() const { return fd_; }

 private:
  void write(const std::byte* bytes, size_t at) {
    if (pwrite(fd_, bytes, kPageBytes, static_cast<off_t>(at)) != static_cast<ssize_t>(kPageBytes)) std::abort();
  }
  int fd_ = -1;
};

Copy ofRun;
Copy ofRecovery;
uint32_t recoveryStores;
uint32_t recoveryKilledBefore;

void beforeRecoveryStore() {
  if (recoveryStores++ == recoveryKilledBefore) ofRecovery.take(watchedArena());
}

class Judge {
 public:
  Judge(Store& successor) : store_(successor) {}

  std::string judge() {
    std::string wrong = store_.checkInvariants();
    if (!wrong.empty()) return "invariants after recovery: " + wrong;
    for (uint32_t guest = 0; guest < model.program->guests; guest++) {
      wrong = judgeGuest(guest);
      if (!wrong.empty()) return "after recovery: guest " + std::to_string(guest) + ": " + wrong;
    }
    if (model.program->reservePages > 0) crowd();
    for (uint32_t guest = 0; guest < model.program->guests; guest++) {
      wrong = judgeRoom(guest);
      if (!wrong.empty()) return "after recovery: guest " + std::to_string(guest) + ": " + wrong;
    }
    wrong = store_.checkInvariants();
    return wrong.empty() ? "" : "invariants after puts: " + wrong;
  }

 private:
  std::string judgeGuest(uint32_t guest) {
    const Ledger& ledger = model.ledgers[guest];
    GuestOptions options = guestOptions(guest);
    if (!store_.guestNamed(options.name)) {
      return !ledger.present || ledger.pending == Ledger::kLeave ? "" : "it is lost";
    }
    if (!ledger.present && ledger.pending != Ledger::kJoin) return "it was removed and is back";
    try {
      id_ = ids_[guest] = store_.addGuest(options);
      present_[guest] = true;
    } catch (const std::exception& error) {
      return error.what();
    }
    std::string wrong = judgeSession(ledger);
    return wrong.empty() ? judgePages(guest, ledger) : wrong;
  }

  // And whether the control operation in flight was done.
  std::string judgeSession(const Ledger& ledger) {
    bool has = store_.hasSession(id_);
    bool same = ledger.session == 0 ? !has : store_.attach(id_, ledger.session) == Status::kOk;
    flushed_ = !same;
    if (!same && !(ledger.pending == Ledger::kReset && has) && !(ledger.pending == Ledger::kDrop && !has)) {
      return "its session is another";
    }
    Ledger::Pools found;
    for (const PoolCounters& pool : store_.poolCounters(id_)) found.add(pool.pool, pool.persistent);
    if (!same) return found == Ledger::Pools{} ? "" : "a new session has pools";
    if (found == ledger.pools || (ledger.pending == Ledger::kPools && found == ledger.then)) return "";
    return "its pools are others";
  }

  std::string judgePages(uint32_t guest, const Ledger& ledger) {
    uint64_t found = 0;
    for (uint32_t i = 0; i < kIndexes; i++) {
      History history = model.histories[guest][1][i];
      if (flushed_) history.add({Event::kFlushed, kNothing, ledger.begun, now()});
      addInFlight(guest, i, &history);
      uint32_t number = get(keyAt(true, i));
      if (number == kNobodysPage) return "persistent page " + std::to_string(i) + (corrupt_ ? " is corrupt" : ": bytes that nobody put");
      found += number != kNothing;
      history.add({number ? Event::kGot : Event::kMissed, number, now(), now()});
      std::string wrong = Model::unexplained(guest, true, i, model.pagesBefore[guest][1][i], history);
      if (!wrong.empty()) return wrong;
    }
    for (uint32_t i = 0; guest == 0 && i < fillers(); i++) {
      FillerPlace at = fillerPlace(i);
      uint32_t number = get(keyOf(0, at.object, at.index));
      bool there = number == kNobodysPage && std::memcmp(out_.data(), fillerPage(i).data(), kPageBytes) == 0;
      if (there == fillerWasFlushed(*model.program, i) || (!there && number != kNothing)) {
        return "filler " + std::to_string(i) + " is not what it was";
      }
      found += there;
    }
    uint64_t held = store_.pagesHeld(id_);
    return held == found ? "" : "it holds " + std::to_string(held) + " pages, of which are known " + std::to_string(found);
  }

  void addInFlight(uint32_t guest, uint32_t index, History* history) {
    for (const Model::InFlight& one : model.inFlight) {
      const Operation* o = one.operation;
      if (!o || o->guest != guest || !o->persistent) continue;
      bool here = o->index == index;
      switch (o->kind) {
        case Operation::kPut:
        case Operation::kPutTwo: {
          uint32_t neighbour = index - o->index;
          if (!here && !(o->kind == Operation::kPutTwo && neighbour == 1)) break;
          history->add({Event::kPut, (o->page + neighbour) % kPages, one.begun, kNeverEnded});
          break;
        }
        case Operation::kFlush:
          if (here) history->add({Event::kFlushed, kNothing, one.begun, kNeverEnded});
          break;
        case Operation::kFlushObject:
          if (o->object == 0) history->add({Event::kFlushed, kNothing, one.begun, kNeverEnded});
          break;
        default:
          break;  // changes nothing, or is in the ledger
      }
    }
  }

  // Another guest takes all that is not set aside.
  void crowd() {
    TestGuest other(store_, guestNamed("crowd"));
    for (uint32_t i = 0; other.put(other.p(0, i), fillerPage(i)) == Status::kOk;) i++;
  }

  // What is left of the reserve, or one page: ephemeral pages are gone, and persistent ones fill no program's store.
  std::string judgeRoom(uint32_t guest) {
    if (!present_[guest]) return "";
    id_ = ids_[guest];
    if (!store_.hasSession(id_)) store_.reset(id_);
    PoolId pool = UINT32_MAX;
    for (const PoolCounters& one : store_.poolCounters(id_)) {
      if (one.persistent) pool = one.pool;
    }
    if (pool == UINT32_MAX && store_.createPool(id_, true, &pool) != Status::kOk) return "no pool is to be had";
    uint64_t most = model.program->reservePages;
    uint64_t held = store_.pagesHeld(id_);
    most = most == 0 ? 1 : most > held ? most - held : 0;
    for (uint32_t i = 0; i < most; i++) {
      std::memcpy(context().page(), fillerPage(500 + guest * 50 + i).data(), kPageBytes);
      if (store_.put(context(), id_, keyOf(pool, kNewObject, i)) != Status::kOk) return "a put was refused that must not be";
    }
    return "";
  }

  // kNothing; a page's number; or kNobodysPage, and the bytes in out_.
  uint32_t get(const PageKey& key) {
    GetOp op;
    op.key = key;
    op.out = out_.data();
    store_.get(context(), id_, {&op, 1});
    corrupt_ = false;
    if (op.status == Status::kOk) return numberOf(out_);
    bool none = op.status == Status::kMiss || op.status == Status::kNoPool || op.status == Status::kNoSession;
    corrupt_ = !none;
    out_ = {};
    return none ? kNothing : kNobodysPage;
  }
  static WorkerContext& context() { return workerContext(kThreadsMax); }

  Store& store_;
  GuestId ids_[kGuestsMax]{};
  bool present_[kGuestsMax]{};
  GuestId id_{};
  bool flushed_ = false;  // by a control operation in flight
  Page out_{};
  bool corrupt_ = false;
};

std::string judgeArena(const Copy& copy) {
  StoreOptions options;
  options.backgroundSettling = false;
  options.arenaFd = copy.fd();
  try {
    std::unique_ptr<Store> successor = Store::recover(copy.fd(), options);
    watchNoStores();
    return Judge(*successor).judge();
  } catch (const std::exception& error) {
    watchNoStores();
    return std::string("not recovered: ") + error.what();
  }
}

}  // namespace

Succession succeed(uint32_t killRecovery) {
  ofRun.take(arenaBytes().data());
  recoveryStores = 0;
  recoveryKilledBefore = killRecovery;
  watchNextArena(arenaFramesAt(), beforeRecoveryStore);
  Succession result;
  result.wrong = judgeArena(ofRun);
  result.stores = recoveryStores;
  if (!result.wrong.empty() || killRecovery >= recoveryStores) return result;
  result.wrong = judgeArena(ofRecovery);
  if (!result.wrong.empty()) result.wrong.insert(0, "after a killed recovery: ");
  return result;
}

}  // namespace interleave
