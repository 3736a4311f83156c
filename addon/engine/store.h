// The page store: what the device calls for each request, and what the
// control plane calls to set guests up and to read counters.
//
// This header is the engine's whole interface. The engine never touches guest
// memory on a put: the caller copies the page into its WorkerContext first.
// It never calls back, never logs, never throws after construction except
// ConfigError from addGuest/updateGuest.
//
// Threads. Page operations may come from any number of threads, each with a
// WorkerContext of its own; requests of one object are issued by one thread at
// a time. The control operations may come from any thread at any time; those that
// drop pages return when the last is gone, and hold up nobody else meanwhile, but other
// control operations on the pools of that guest. Counters never wait for them.
#ifndef TMEMD_ENGINE_STORE_H_
#define TMEMD_ENGINE_STORE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/counters.h"

namespace tmemd {

inline constexpr size_t kPageBytes = 4096;
// Neighbouring pages that one put() may take: their cache misses overlap.
inline constexpr uint32_t kPutPagesMax = 8;

// Equal to VIRTIO_TMEM_S_* on the wire (checked in the device).
enum class Status : uint32_t {
  kOk = 0,
  kMiss = 1,
  kRefused = 2,
  kBadRequest = 3,
  kNoPool = 4,
  kDenied = 5,
  kCorrupt = 6,
  kNoSession = 7,
  kTooMany = 8,
};

enum class GuestId : uint32_t {};
using PoolId = uint32_t;

struct ObjectId {
  uint64_t word[3] = {0, 0, 0};
  bool operator==(const ObjectId&) const = default;
};

struct PageKey {
  PoolId pool = 0;
  ObjectId object;
  uint32_t index = 0;
};

// A configuration that cannot be honoured; what() is one line that names the
// guest, the value and what is allowed.
class ConfigError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// An arena that cannot be recovered; what() is one line that says why.
class AttachError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class BackgroundClock;

struct StoreOptions {
  uint64_t capacityBytes = uint64_t{1} << 30;  // hard: data, slack and metadata
  std::optional<uint64_t> hashSecret;          // random when absent
  bool weakHashForTest = false;                // every page's dedup hash collides
  bool backgroundSettling = true;
  BackgroundClock* backgroundClock = nullptr;  // what that goes by; null: the machine's. Outlives the store
  // The empty file the arena is made in, opened for reading and writing; -1: memory
  // that nobody else can map. Locked against other stores while this one lives.
  // Who uses a file means to have the pages again: they stay in it when the store ends.
  int arenaFd = -1;
};

// A guest that was recovered and that addGuest() has not been called for yet.
struct UnclaimedGuest {
  GuestId id;
  std::string name;
  uint64_t pages;
};

// What recovering an arena found.
struct RecoveryReport {
  uint64_t guests = 0;
  uint64_t pages = 0;         // persistent ones; ephemeral ones are dropped
  uint64_t damagedPages = 0;  // of these: whose bytes are lost, as is known already
};

struct GuestOptions {
  std::string name;
  std::string dedupGroup;  // empty: shares with nobody
  uint32_t weight = 100;   // 1..1000000, share of ephemeral memory under eviction
  uint64_t capPages = 0;   // most pages held, both kinds; 0: none set
  uint64_t persistentReservePages = 0;
  uint64_t persistentLimitPages = 0;  // 0: none set
  bool frozen = false;                // puts beyond the reserve are refused
  uint16_t maxPools = 64;
  int numaNode = -1;
};

// Absent members are left as they are.
struct GuestTuning {
  std::optional<uint32_t> weight;
  std::optional<uint64_t> capPages;
  std::optional<uint64_t> persistentLimitPages;
  std::optional<bool> frozen;
};

// Per thread: the staging pages and scratch memory of the codecs.
class WorkerContext {
 public:
  WorkerContext();
  ~WorkerContext();
  WorkerContext(const WorkerContext&) = delete;
  WorkerContext& operator=(const WorkerContext&) = delete;

  // kPageBytes, 64-byte aligned. put() reads pages from here: number 0 is its first, and
  // they lie one after the other. number < kPutPagesMax.
  std::byte* page(size_t number = 0);

  struct Scratch;
  Scratch& scratch() { return *scratch_; }

 private:
  std::unique_ptr<Scratch> scratch_;
};

struct GetOp {
  PageKey key;
  std::byte* out = nullptr;  // kPageBytes writable; a guest may write there meanwhile
  bool exclusive = false;  // on a persistent pool: kBadRequest, nothing done
  // Goes on from the op before it, as the pages of one request do: skipped,
  // uncounted and nothing written, unless that one's status is kOk.
  bool continued = false;
  Status status = Status::kMiss;  // result
};

class Recovery;
class Settler;

class Store {
 public:
  // Throws ConfigError (capacity too small) or std::system_error.
  explicit Store(const StoreOptions& options);
  // The store that a killed process left in the file `arenaFd`: its guests, their
  // sessions, pools and persistent pages. Capacity and hash secret are the arena's.
  // Throws AttachError, ConfigError or std::system_error.
  static std::unique_ptr<Store> recover(int arenaFd, const StoreOptions& options, RecoveryReport* report = nullptr);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // Smallest capacity a store accepts, in bytes.
  static uint64_t minimumCapacityBytes();

  // --- control ---------------------------------------------------------------
  // After a recovery: takes over the recovered guest of that name, whose reserve, group,
  // pools and node must be those asked for. Throws ConfigError.
  GuestId addGuest(const GuestOptions& options);
  std::vector<UnclaimedGuest> unclaimedGuests() const;
  std::optional<GuestId> guestNamed(const std::string& name) const;
  void removeGuest(GuestId guest);
  void updateGuest(GuestId guest, const GuestTuning& tuning);  // throws ConfigError

  uint64_t reset(GuestId guest);  // drops every pool, opens a session, returns its non-zero id
  Status attach(GuestId guest, uint64_t sessionId);
  void dropPools(GuestId guest);  // and closes the session
  bool hasSession(GuestId guest) const;
  Status createPool(GuestId guest, bool persistent, PoolId* pool);
  Status destroyPool(GuestId guest, PoolId pool);
  Status pagesHeld(GuestId guest, PoolId pool, uint64_t* pages) const;
  uint64_t pagesHeld(GuestId guest) const;

  // --- page path -------------------------------------------------------------
  // Puts context.page(0), context.page(1), ... under key.index and the indexes after it, up to the
  // first that fails. pageCount 1..kPutPagesMax, key.index + pageCount <= 2^32.
  struct PutResult {
    Status status = Status::kOk;  // kOk: of all; else of the page that failed
    uint32_t donePages = 0;
  };
  PutResult put(WorkerContext& context, GuestId guest, const PageKey& key, uint32_t pageCount);
  // One page. On anything but kOk nothing is held under its key, save kNoSession and kNoPool,
  // which change nothing.
  Status put(WorkerContext& context, GuestId guest, const PageKey& key) { return put(context, guest, key, 1).status; }

  // Executes `ops` in order, prefetching ahead; each op's status is set.
  void get(WorkerContext& context, GuestId guest, std::span<GetOp> ops);

  // pageCount 1..2^32, key.index + pageCount <= 2^32; work is bounded by the
  // pages held in the object, not by pageCount.
  Status flush(WorkerContext& context, GuestId guest, const PageKey& key, uint64_t pageCount);
  Status flushObject(WorkerContext& context, GuestId guest, PoolId pool, const ObjectId& object);

  // --- counters --------------------------------------------------------------
  StoreCounters counters() const;
  GuestCounters guestCounters(GuestId guest) const;
  std::vector<PoolCounters> poolCounters(GuestId guest) const;

  // The background thread runs, or waits for a processor: not for work that a put asked it for.
  bool backgroundAwake() const;

  // Empty when everything adds up; else one line that says what does not.
  // Stops page operations for its duration.
  std::string checkInvariants();

 private:
  friend class Recovery;
  friend class Activity;
  friend class Settler;
  friend struct StoreTestAccess;  // test/native: damages blocks
  struct Impl;
  explicit Store(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace tmemd

#endif  // TMEMD_ENGINE_STORE_H_
