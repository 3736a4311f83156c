// What the threads of one run did to each page, and whether some order explains it.
//
// Model: a key holds a page or nothing. Each operation takes effect at one moment between its begin and its
// end (it is linearizable). A put that was refused leaves nothing; a get of nothing misses; an
// ephemeral page may be gone at any time, and stays gone. An operation that a kill cut short took effect at some
// moment after its begin, or never.
#ifndef TMEMD_TEST_INTERLEAVE_HISTORY_H_
#define TMEMD_TEST_INTERLEAVE_HISTORY_H_

#include <array>
#include <cstdint>

namespace interleave {

inline constexpr uint32_t kNothing = 0;  // no page; pages have numbers from 1 up

inline constexpr uint64_t kNeverEnded = UINT64_MAX;

struct Event {
  enum Kind : uint8_t { kPut, kPutRefused, kGot, kGotAndRemoved, kMissed, kFlushed } kind;
  uint32_t page;  // put or got
  uint64_t begin;
  uint64_t end;
};

// Of one key. Of fixed size: nothing is allocated while a run goes on.
class History {
 public:
  static constexpr uint32_t kEventsMax = 20;

  void begin(uint32_t pageBefore, bool persistent) {
    count_ = 0;
    before_ = pageBefore;
    persistent_ = persistent;
  }
  // Events beyond the most are left out, and with them the check.
  void add(const Event& event) {
    if (count_ < kEventsMax) events_[count_] = event;
    count_++;
  }
  bool isExplained() const { return count_ > kEventsMax || canFollow(before_, 0); }
  uint32_t count() const { return count_ < kEventsMax ? count_ : kEventsMax; }
  const Event& event(uint32_t i) const { return events_[i]; }

 private:
  // With the events of `done` (a bit each) behind it, and `page` held.
  bool canFollow(uint32_t page, uint32_t done) const {
    bool all = true;
    for (uint32_t i = 0; i < count_; i++) all &= (done >> i & 1) || events_[i].end == kNeverEnded;
    if (all) return true;
    for (uint32_t i = 0; i < count_; i++) {
      if (done >> i & 1) continue;
      bool first = true;  // nothing that is left ended before it began
      for (uint32_t j = 0; j < count_; j++) first &= (done >> j & 1) || events_[j].end >= events_[i].begin;
      uint32_t after = page;
      if (first && take(events_[i], &after) && canFollow(after, done | 1u << i)) return true;
    }
    return false;
  }
  bool take(const Event& event, uint32_t* page) const {
    switch (event.kind) {
      case Event::kPut:
        *page = event.page;
        return true;
      case Event::kPutRefused:
      case Event::kFlushed:
        *page = kNothing;
        return true;
      case Event::kGot:
        return *page == event.page;
      case Event::kGotAndRemoved:
        if (*page != event.page) return false;
        *page = kNothing;
        return true;
      case Event::kMissed:
        if (persistent_ && *page != kNothing) return false;
        *page = kNothing;
        return true;
    }
    return false;
  }

  std::array<Event, kEventsMax> events_{};
  uint32_t count_ = 0;
  uint32_t before_ = kNothing;
  bool persistent_ = true;
};

}  // namespace interleave

#endif  // TMEMD_TEST_INTERLEAVE_HISTORY_H_
