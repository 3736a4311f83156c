// What a process under test says it did, in memory that outlives it: for every key
// the page that was acknowledged and the one being put now, in one word, so that the
// log cannot be torn itself.
#ifndef TMEMD_TEST_NATIVE_RECOVERY_LOG_H_
#define TMEMD_TEST_NATIVE_RECOVERY_LOG_H_

#include <atomic>
#include <cstdint>

#include "native/store_fixture.h"

namespace tmemd {

// Names a page's content; 0 is no page. Low numbers come often, so are duplicates.
using Content = uint32_t;

inline Page pageOf(Content content) {
  switch (content % 5) {
    case 0:
      return filledPage(content / 5 % 250 * 0x0101010101010101u);
    case 1:
      return filledPage(content * 0x9e3779b97f4a7c15u);
    case 2:
      return randomPage(content);
    default:
      return textPage(content);
  }
}

// Something that is changed from one value to another.
class Change {
 public:
  void begin(uint32_t to) { word_.store(uint64_t{settled()} << 32 | to); }
  void end() { settle(pending()); }
  void settle(uint32_t at) { word_.store(uint64_t{at} << 32 | at); }
  uint32_t settled() const { return static_cast<uint32_t>(word_.load() >> 32); }
  uint32_t pending() const { return static_cast<uint32_t>(word_.load()); }
  bool underWay() const { return settled() != pending(); }
  bool allows(uint32_t value) const { return value == settled() || value == pending(); }

 private:
  std::atomic<uint64_t> word_{0};
};

struct RecoveryLog {
  // The last guest is the visitor: it comes and goes, and its pools with it.
  static constexpr uint32_t kGuests = 4;
  static constexpr uint32_t kVisitor = kGuests - 1;
  static constexpr uint32_t kWorkers = 3;
  static constexpr uint32_t kObjects = 9;
  static constexpr uint32_t kIndices = 100;

  std::atomic<uint32_t> made;   // the guests below kVisitor are there
  std::atomic<uint32_t> ready;  // recovered and checked, now under load
  std::atomic<uint32_t> roomy;  // no put is refused
  std::atomic<uint64_t> operations;
  std::atomic<uint64_t> damaged;
  uint64_t session[kGuests];
  Change key[kGuests][kObjects][kIndices];
  Change visitorPresent;
  Change visitorSession;  // 0: none that counts, 1: session[kVisitor]
  Change visitorPool;     // pool id + 1
  Change visitorWeight;
};

}  // namespace tmemd

#endif  // TMEMD_TEST_NATIVE_RECOVERY_LOG_H_
