// What the fuzzers of rings share: a store with a victim beside the guest under attack, guest
// memory that is the fuzzer's input byte for byte, and what must hold whatever the input was.
//
//   input    [flags][base of ring 0][base of ring 1][guest memory ...]
//   memory   ring 0 at 0, ring 1 at kRingStride, both of kRingSize; the rest is requests and data
//
// Every input starts with the same guest: a new session, no pages. So one input is one test, and
// a finding can be run again by itself.
#ifndef TMEMD_TEST_FUZZ_GUEST_SCENE_H_
#define TMEMD_TEST_FUZZ_GUEST_SCENE_H_

#include <sanitizer/asan_interface.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "device/queue.h"
#include "native/guest_fixture.h"
#include "native/store_fixture.h"

namespace tmemd::fuzz {

inline void require(bool holds, const std::string& what) {
  if (holds) return;
  std::fprintf(stderr, "broken: %s\n", what.c_str());
  std::abort();
}

class GuestScene {
 public:
  static constexpr uint16_t kRingSize = 8;
  static constexpr uint64_t kRingStride = 0x200;
  static constexpr uint64_t kMemoryBytes = 62 << 10;
  static constexpr uint64_t kBase = 0x1000'0000;
  static constexpr size_t kHeaderBytes = 5;

  explicit GuestScene(const GuestOptions& attacker) {
    StoreOptions options = storeOf(uint64_t{4} << 20);
    options.backgroundSettling = false;  // its thread would make an input's way differ from run to run
    options.hashSecret = 1;
    store = std::make_unique<Store>(options);
    victim_ = std::make_unique<TestGuest>(*store, guestNamed("victim"));
    for (uint32_t i = 0; i < kVictimPages; i++) {
      require(victim_->put(victim_->p(1, i), textPage(i)) == Status::kOk, "the victim's put");
    }
    guest = store->addGuest(attacker);
    fence(memory.regions()[0]->data());
  }

  // Lays the input out. False when it is too short to say anything.
  bool lay(const uint8_t* data, size_t sizeBytes) {
    if (sizeBytes < kHeaderBytes) return false;
    flags = data[0];
    std::memcpy(bases_.data(), data + 1, sizeof bases_);
    std::byte* memoryBytes = ram_.at<std::byte>(kBase);
    std::memset(memoryBytes, 0, kMemoryBytes);
    std::memcpy(memoryBytes, data + kHeaderBytes, std::min<size_t>(sizeBytes - kHeaderBytes, kMemoryBytes));
    return true;
  }

  // A ring of the memory, started as the front end would. False when it is refused.
  bool start(Queue& queue, uint16_t index) {
    queue.index = index;
    const uint64_t at = kBase + index * kRingStride;
    VringLayout layout = test::DriverRing(ram_, at, kRingSize).layout(flags & 1);
    layout.lastAvailableIndex = bases_[index];
    if (!queue.vring.start(layout, memory).empty()) return false;
    queue.started = queue.enabled = true;
    queue.beganAtZero = layout.lastAvailableIndex == 0;
    queue.vring.loadAvailableIndex();
    return !queue.vring.broken();
  }

  // Of an input that has been served.
  void check() {
    require(!memory.lost(), "guest memory is lost");
    const std::string wrong = store->checkInvariants();
    require(wrong.empty(), wrong);
    const uint32_t i = static_cast<uint32_t>(checks_++ % kVictimPages);
    require(victim_->holds(victim_->p(1, i), textPage(i)), "the victim's page " + std::to_string(i));
  }

  std::unique_ptr<Store> store;
  GuestId guest{};
  uint8_t flags = 0;

 private:
  // The file is larger than the region on both sides, within the same host pages.
  RegionSetup region() const {
    RegionSetup setup = ram_.region();
    setup.guestAddress += kFenceBytes;
    setup.userspaceAddress += kFenceBytes;
    setup.mmapOffsetBytes = kFenceBytes;
    setup.sizeBytes = kMemoryBytes;
    return setup;
  }
  // The device then leaves guest memory by no byte unnoticed.
  static void fence(std::byte* begin) {
    ASAN_POISON_MEMORY_REGION(begin - kFenceBytes, kFenceBytes);
    ASAN_POISON_MEMORY_REGION(begin + kMemoryBytes, kFenceBytes);
  }

  static constexpr uint32_t kVictimPages = 16;
  static constexpr uint64_t kFenceBytes = 1024;
  test::GuestRam ram_{kMemoryBytes + 2 * kFenceBytes, kBase - kFenceBytes};
  std::array<uint16_t, 2> bases_{};
  std::unique_ptr<TestGuest> victim_;
  uint64_t checks_ = 0;

 public:
  const GuestMemory memory{{std::make_shared<MappedRegion>(region())}};
};

}  // namespace tmemd::fuzz

#endif  // TMEMD_TEST_FUZZ_GUEST_SCENE_H_
