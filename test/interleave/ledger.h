// A guest's session and pools, as its control operations said: what was acknowledged, and the one that was begun and
// did not end. There is one at a time.
#ifndef TMEMD_TEST_INTERLEAVE_LEDGER_H_
#define TMEMD_TEST_INTERLEAVE_LEDGER_H_

#include <cstdint>

#include "engine/store.h"

namespace interleave {

struct Ledger {
  static constexpr uint32_t kPoolsMax = 8;

  struct Pools {
    bool there[kPoolsMax] = {};  // by id
    bool persistent[kPoolsMax] = {};
    bool operator==(const Pools&) const = default;

    void add(tmemd::PoolId id, bool isPersistent) {
      there[id % kPoolsMax] = true;
      persistent[id % kPoolsMax] = isPersistent;
    }
    void remove(tmemd::PoolId id) { there[id % kPoolsMax] = persistent[id % kPoolsMax] = false; }
  };

  bool present = false;
  uint64_t session = 0;  // 0: none
  Pools pools;
  tmemd::PoolId nextPool = 0;  // since the session was opened

  enum Pending : uint8_t { kNothing, kReset, kDrop, kPools, kLeave, kJoin } pending = kNothing;
  uint64_t begun = 0;
  Pools then;  // of kPools: when it is done

  void begin(Pending what, uint64_t now) {
    pending = what;
    begun = now;
  }
  void end() { pending = kNothing; }
};

}  // namespace interleave

#endif  // TMEMD_TEST_INTERLEAVE_LEDGER_H_
