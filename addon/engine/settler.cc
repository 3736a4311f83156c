#include "engine/settler.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace tmemd {

Settler::Settler(Store::Impl& store, bool refillIndex)
    : store_(store), refilling_(refillIndex), wakeFd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (wakeFd_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd of the background thread");
  thread_ = std::thread([this] { run(); });
  store_.table.setTended([this] { wake(); });
}

Settler::~Settler() {
  stop_.store(true, std::memory_order_relaxed);
  wake();
  thread_.join();
  store_.table.setTended(nullptr);
  close(wakeFd_);
}

// Called by puts, so it must not wait for a thread of the lowest priority: no mutex.
void Settler::wake() { eventfd_write(wakeFd_, 1); }

// Sleeps until `then`, but for frames that puts ask for.
void Settler::tendUntil(Clock::time_point then) {
  sleepsUntil_.store(then.time_since_epoch().count(), std::memory_order_relaxed);
  while (!stop_.load(std::memory_order_relaxed)) {
    auto left = std::chrono::ceil<std::chrono::milliseconds>(then - Clock::now());
    pollfd ready = {wakeFd_, POLLIN, 0};
    if (left.count() <= 0 || poll(&ready, 1, static_cast<int>(left.count())) == 0) return;
    eventfd_t ignored;
    eventfd_read(wakeFd_, &ignored);
    while (store_.table.tend()) {
    }
  }
}

template <typename Visit>
void Settler::forEachGuest(Visit visit) {
  uint32_t used = store_.placesUsed.load(std::memory_order_acquire);
  for (uint32_t i = 0; i < used; i++) {
    Store::Impl::GuestPlace& at = store_.places[i];
    if (!at.gate.tryEnterInBackground()) continue;
    if (at.guest) visit(*at.guest);
    at.gate.leaveInBackground();
  }
}

uint64_t Store::Impl::operationsSoFar() {
  uint64_t sum = 0;
  uint32_t used = placesUsed.load(std::memory_order_acquire);
  for (uint32_t i = 0; i < used; i++) {
    if (!places[i].gate.tryEnterInBackground()) continue;
    if (Guest* guest = places[i].guest.get()) {
      for (const auto& pool : guest->pools) {
        if (!pool) continue;
        sum += pool->counters.putsTotal.load(std::memory_order_relaxed) +
               pool->counters.getsTotal.load(std::memory_order_relaxed) +
               pool->counters.flushesTotal.load(std::memory_order_relaxed);
      }
    }
    places[i].gate.leaveInBackground();
  }
  return sum;
}

bool Store::backgroundAwake() const { return impl_->settler && impl_->settler->awake(); }

void Settler::run() {
  // The lowest priority there is: whoever else wants the core has it.
  setpriority(PRIO_PROCESS, 0, 19);
  uint64_t operations = 0;
  Clock::time_point nextRound = Clock::now() + kRound;
  bool walkUnderWay = false;
  bool walkIsCold = false;
  uint16_t roundsSinceCold = 0;
  while (!stop_.load(std::memory_order_relaxed)) {
    bool idle = true;
    while (store_.table.tend()) idle = false;
    for (Clock::time_point until = Clock::now() + kSliceMs; Clock::now() < until && store_.table.tendHugePages();) {
      idle = false;
    }
    uint64_t now = store_.operationsSoFar();
    bool busy = now - operations > kBusyOperations;
    if (now != operations) idle = false;
    operations = now;
    if (Clock::now() >= nextRound) {
      nextRound = Clock::now() + kRound;
      store_.round.fetch_add(1, std::memory_order_relaxed);
      store_.table.beginTendingRound();
      roundsSinceCold++;
      if (!walkUnderWay) {
        walkIsCold = roundsSinceCold >= kRoundsBetweenColdWalks;
        std::lock_guard<std::mutex> guard(walking_);
        walkUnderWay = beginWalk(walkIsCold);
        if (walkIsCold) roundsSinceCold = 0;
      }
    }
    if (walkUnderWay && !busy) {
      std::lock_guard<std::mutex> guard(walking_);
      if (walk(walkIsCold ? &kPolicy : nullptr, Clock::now() + kSliceMs)) {
        endWalk();
        walkUnderWay = false;
      }
    }
    if (walkUnderWay) idle = false;
    tendUntil(Clock::now() + (idle ? kIdleTickMs : kTickMs));
  }
}

// False when there is nothing to walk for.
bool Settler::beginWalk(bool forced) {
  cursor_ = {};
  uint32_t draining = 0;
  if (refilling_) return true;
  forEachGuest([&](Guest& guest) { draining += guest.group.bin.beginDraining(); });
  return forced || draining > 0;
}

void Settler::endWalk() {
  refilling_ = false;
  forEachGuest([](Guest& guest) { guest.group.bin.endDraining(); });
}

bool Settler::walk(const Store::Impl::SettlePolicy* policy, Clock::time_point until) {
  for (; cursor_.place < store_.placesUsed.load(std::memory_order_acquire); cursor_.place++, cursor_.shard = 0) {
    Store::Impl::GuestPlace& at = store_.places[cursor_.place];
    for (; cursor_.shard < PageMap::kShards; cursor_.shard++, cursor_.bucket = 0) {
      for (bool more = true; more; cursor_.bucket++) {
        if (Clock::now() >= until || !at.gate.tryEnterInBackground()) return false;
        bool complete = !at.guest || walkBucket(*at.guest, policy, until, &more);
        if (!at.guest) more = false;
        at.gate.leaveInBackground();
        if (!complete) return false;
      }
    }
  }
  return true;
}

bool Settler::walkBucket(Guest& guest, const Store::Impl::SettlePolicy* policy, Clock::time_point until, bool* more) {
  PageMap::Shard& shard = guest.map.shard(cursor_.shard);
  leaves_.clear();
  {
    SpinGuard guard(shard.lock);
    *more = cursor_.bucket + 1 < shard.leafBuckets();
    if (cursor_.bucket < shard.leafBuckets()) {
      shard.forEachLeafIn(cursor_.bucket, [&](CellRef ref) {
        const Leaf& leaf = shard.leaf(ref);
        leaves_.push_back({shard.hashOf(shard.object(leaf.object)), leaf.object, leaf.number});
      });
    }
  }
  for (Store::Impl::LeafName name : leaves_) {
    if (refilling_) {
      if (!store_.reindexLeaf(context_, guest, shard, name, until)) return false;
      continue;
    }
    if (!store_.settleLeaf(context_, encoder_, guest, shard, name, policy, until)) return false;
  }
  return true;
}

void Settler::settleNow(const Store::Impl::SettlePolicy* policy) {
  std::lock_guard<std::mutex> guard(walking_);
  // What the policy left sparse is drained by the walk after it.
  constexpr int kWalksMax = 4;
  bool more = beginWalk(true);
  for (int walks = 0; more && walks < kWalksMax; walks++, policy = nullptr, more = beginWalk(false)) {
    while (!walk(policy, Clock::time_point::max())) {
    }
    endWalk();
  }
  endWalk();
  store_.table.beginTendingRound();
  store_.table.beginTendingRound();  // what is dirty now lay idle between the two
  while (store_.table.tend()) {
  }
}

bool Store::Impl::reindexLeaf(WorkerContext& context, Guest& guest, PageMap::Shard& shard, LeafName name,
                              SettleClock::time_point until) {
  CodecScratch& codec = context.scratch().codec;
  for (uint32_t slot = 0; slot < kLeafSlots; slot++) {
    if (SettleClock::now() >= until) return false;
    uint32_t value;
    {
      SpinGuard guard(shard.lock);
      CellRef ref = shard.findLeaf(name.objectHash, name.object, name.number);
      if (!ref) return true;
      value = shard.leaf(ref).slot[slot];
      if (!isBlock(value)) continue;
      uint32_t bin = table.binOf(spanOf(value));
      if (bin != guest.group.bin.id() && bin != guest.reserveBin.id()) continue;
      table.pin(spanOf(value));
    }
    Loc loc = value & ~kSharedBit;
    std::byte* base = table.bytes(spanOf(loc));
    Entry entry = SpanTable::entryAt(base, entryOf(loc)).load(std::memory_order_relaxed);
    // Blocks of one repeated word are never looked up.
    bool intact = entryLength(entry) != sizeof(uint64_t) &&
                  decodePage(codec, hash, entry, base + entryOffsetUnits(entry) * 8, codec.pages);
    table.unpin(spanOf(loc));
    if (!intact) continue;
    uint64_t contentHash = options.weakHashForTest ? 1 : PageHash::content(hash.page(codec.pages), guest.group.salt);
    std::array<Loc, DedupIndex::kCandidatesMax> candidates;
    uint32_t count = index.find(contentHash, candidates);
    // One that went meanwhile leaves a stale entry, as many do.
    if (std::find(candidates.begin(), candidates.begin() + count, loc) == candidates.begin() + count) {
      index.insert(contentHash, loc, 0);
    }
  }
  return true;
}

bool Store::Impl::settleLeaf(WorkerContext& context, SettlingEncoder& encoder, Guest& guest, PageMap::Shard& shard,
                             LeafName name, const SettlePolicy* policy, SettleClock::time_point until) {
  Leaf copy;
  {
    SpinGuard guard(shard.lock);
    CellRef ref = shard.findLeaf(name.objectHash, name.object, name.number);
    if (!ref) return true;
    copy = shard.leaf(ref);
  }
  int level = 0;
  if (policy) {
    uint16_t age = static_cast<uint16_t>(round.load(std::memory_order_relaxed) - copy.touched);
    if (age >= policy->hardAfterRounds) level = 1;
    if (age >= policy->coldAfterRounds) level = 2;
    if (level <= copy.settled) level = 0;
  }
  for (uint32_t slot = 0; slot < kLeafSlots; slot++) {
    // Pages in the reserve and ephemeral ones are left: that memory is set aside or yields.
    if (!isBlock(copy.slot[slot]) || table.binOf(spanOf(copy.slot[slot])) != guest.group.bin.id()) continue;
    if (level == 0 && !guest.group.bin.isDraining(copy.slot[slot])) continue;
    if (SettleClock::now() >= until) return false;
    resettle(context, encoder, guest, shard, name, slot, copy.slot[slot], level);
  }
  if (level == 0) return true;
  SpinGuard guard(shard.lock);
  CellRef ref = shard.findLeaf(name.objectHash, name.object, name.number);
  if (ref && shard.leaf(ref).touched == copy.touched) shard.leaf(ref).settled = static_cast<uint8_t>(level);
  return true;
}

void Store::Impl::resettle(WorkerContext& context, SettlingEncoder& encoder, Guest& guest, PageMap::Shard& shard,
                           LeafName name, uint32_t slot, uint32_t value, int level) {
  CodecScratch& codec = context.scratch().codec;
  Bin& bin = guest.group.bin;
  Loc from = value & ~kSharedBit;
  {
    SpinGuard guard(shard.lock);
    CellRef ref = shard.findLeaf(name.objectHash, name.object, name.number);
    if (!ref || shard.leaf(ref).slot[slot] != value) return;
    table.pin(spanOf(from));
  }
  // While it is pinned the block stays as it is, even if it is freed, and nobody takes its entry:
  // a slot that names it names this block.
  std::byte* base = table.bytes(spanOf(from));
  Entry entry = SpanTable::entryAt(base, entryOf(from)).load(std::memory_order_relaxed);
  const std::byte* bytes = base + entryOffsetUnits(entry) * 8;
  bool draining = bin.isDraining(from);
  bool canShrink = (level > 0 && entryCodec(entry) == Codec::kLz4) ||
                   (level > 1 && entryCodec(entry) == Codec::kLz4Settled);
  EncodedPage form{bytes, entryLength(entry), entryCodec(entry), entryChecksum(entry)};
  KeptPage made{0, form.lengthBytes, form.codec};
  if ((draining || canShrink) && decodePage(codec, hash, entry, bytes, codec.pages)) {
    uint64_t contentHash =
        options.weakHashForTest ? 1 : PageHash::content(hash.page(codec.pages), guest.group.salt);
    // Another key's slot may have brought the same page somewhere better already.
    made = movedCopy(context, bin, contentHash, from);
    if (!made.value) {
      std::optional<EncodedPage> smaller;
      if (canShrink) smaller = encoder.encode(hash, codec.pages, entryLength(entry), level > 1);
      if (smaller) form = *smaller;
      if (smaller || draining) made = {bin.store(form), form.lengthBytes, form.codec};
      if (made.value) index.insert(contentHash, made.value, from);
    }
  }
  if (made.value) {
    SpinGuard guard(shard.lock);
    CellRef ref = shard.findLeaf(name.objectHash, name.object, name.number);
    bool still = ref && shard.leaf(ref).slot[slot] == value;
    table.unpin(spanOf(from));  // before the block is freed, so that its entry is not retired
    if (still) {
      // A copy found elsewhere may be of another kind: stored raw, say, where this one was compressed.
      made.value |= value & kSharedBit;
      setSlot(shard.leaf(ref), slot, made.value);
      bin.unref(from);
      Pool& pool = *guest.poolOf(shard.object(shard.leaf(ref).object));
      countMoved(guest, pool, {value, entryLength(entry), entryCodec(entry)}, made);
    } else {
      bin.unref(made.value);
    }
  } else {
    table.unpin(spanOf(from));
  }
}

// A block other than `from` with the content in the scratch page, referenced once
// more; not one that is itself to be moved.
Store::Impl::KeptPage Store::Impl::movedCopy(WorkerContext& context, Bin& bin, uint64_t contentHash, Loc from) {
  std::array<Loc, DedupIndex::kCandidatesMax> candidates;
  uint32_t count = index.find(contentHash, candidates);
  for (uint32_t i = 0; i < count; i++) {
    Loc loc = candidates[i];
    bool saturated;
    if (loc == from || !bin.tryShare(loc, &saturated)) continue;
    Entry entry;
    if (!bin.isDraining(loc) && sameContent(context, context.page(), loc, &entry)) return {loc, entryLength(entry), entryCodec(entry)};
    bin.unref(loc);
  }
  return {kEmptySlot, 0, Codec::kPlain};
}

}  // namespace tmemd
