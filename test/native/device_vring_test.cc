// The device's side of a split ring, against well-formed and hostile drivers.
#include <doctest/doctest.h>

#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "device/vring.h"
#include "native/guest_fixture.h"

using namespace tmemd;
using namespace tmemd::test;

namespace {

constexpr uint64_t kBase = 0x1000'0000;
constexpr uint64_t kTable = kBase + 0x4000;  // for indirect tables
constexpr uint64_t kData = kBase + 0x8000;
constexpr uint64_t kEnd = kBase + 0x10000;
constexpr uint16_t kSize = 8;

struct Fixture {
  GuestRam ram{kEnd - kBase, kBase};
  GuestMemory memory{{std::make_shared<MappedRegion>(ram.region())}};
  DriverRing driver{ram, kBase, kSize};
  Vring ring;
  Chain chain;

  explicit Fixture(bool eventIdx = false) { REQUIRE(ring.start(driver.layout(eventIdx), memory) == ""); }

  ChainFault takeNext() {
    driver.publish();
    ring.loadAvailableIndex();
    REQUIRE(ring.knownAvailable() != 0);
    return ring.take(memory, chain);
  }
  void complete(uint32_t writtenBytes = 0) { ring.complete(chain.head, writtenBytes); }
};

vring_desc descriptor(uint64_t address, uint32_t length, int flags = 0, uint16_t next = 0) {
  return {address, length, static_cast<uint16_t>(flags), next};
}

constexpr int kNext = VRING_DESC_F_NEXT, kWrite = VRING_DESC_F_WRITE, kIndirect = VRING_DESC_F_INDIRECT;

}  // namespace

TEST_CASE("a chain comes as its readable and its writable parts") {
  Fixture f;
  const uint16_t head = f.driver.add({{kData, 10}, {kData + 0x100, 20}, {kData + 0x200, 30, true}});
  CHECK(f.takeNext() == ChainFault::kNone);
  CHECK(f.chain.head == head);
  CHECK(f.chain.readableBytes == 30);
  CHECK(f.chain.writableBytes == 30);
  REQUIRE(f.chain.readable.size() == 2);
  *f.ram.at<uint8_t>(kData + 0x100) = 0x42;
  CHECK(static_cast<uint8_t>(f.chain.readable[1].data[0]) == 0x42);
}

TEST_CASE("completions appear in the used ring in order, and only when published") {
  Fixture f;
  for (int i = 0; i < 3; ++i) f.driver.add({{kData, 1}});
  f.driver.publish();
  f.ring.loadAvailableIndex();
  CHECK(f.ring.knownAvailable() == 3);
  for (uint32_t i = 0; i < 3; ++i) {
    CHECK(f.ring.take(f.memory, f.chain) == ChainFault::kNone);
    f.complete(i + 100);
    CHECK(f.driver.usedIndex() == 0);
  }
  f.ring.publish();
  CHECK(f.driver.usedIndex() == 3);
  for (uint16_t i = 0; i < 3; ++i) {
    CHECK(f.driver.completion(i).id == i);
    CHECK(f.driver.completion(i).len == 100u + i);
  }
}

TEST_CASE("indices run on beyond 2^16 and the ring wraps") {
  Fixture f(true);
  uint16_t interrupts = 0;
  for (uint32_t i = 0; i < 70000; ++i) {
    f.driver.setUsedEvent(static_cast<uint16_t>(i));
    f.driver.add({{kData, 1}, {kData, 1, true}});
    REQUIRE(f.takeNext() == ChainFault::kNone);
    f.complete();
    interrupts = static_cast<uint16_t>(interrupts + f.ring.publish());
    REQUIRE(f.driver.usedIndex() == static_cast<uint16_t>(i + 1));
  }
  CHECK(interrupts == static_cast<uint16_t>(70000));
}

TEST_CASE("interrupts come as the driver asked") {
  SUBCASE("without EVENT_IDX, by a flag") {
    Fixture f(false);
    for (bool wanted : {true, false, true}) {
      f.driver.available->flags = wanted ? 0 : VRING_AVAIL_F_NO_INTERRUPT;
      f.driver.add({{kData, 1}});
      REQUIRE(f.takeNext() == ChainFault::kNone);
      f.complete();
      CHECK(f.ring.publish() == wanted);
    }
  }
  SUBCASE("with EVENT_IDX, when the used index passes the one named") {
    Fixture f(true);
    f.driver.setUsedEvent(2);
    std::vector<bool> interrupts;
    for (int i = 0; i < 5; ++i) {
      f.driver.add({{kData, 1}});
      REQUIRE(f.takeNext() == ChainFault::kNone);
      f.complete();
      interrupts.push_back(f.ring.publish());
    }
    // The first after a start always: what the driver saw before is unknown.
    CHECK(interrupts == std::vector<bool>{true, false, true, false, false});
  }
  SUBCASE("never when nothing was completed") {
    Fixture f(true);
    CHECK_FALSE(f.ring.publish());
  }
}

TEST_CASE("asking for kicks sees a chain that came meanwhile") {
  for (bool eventIdx : {false, true}) {
    Fixture f(eventIdx);
    f.ring.suppressKicks();
    if (!eventIdx) CHECK(f.driver.used->flags == VRING_USED_F_NO_NOTIFY);
    CHECK_FALSE(f.ring.allowKicks());
    if (!eventIdx) CHECK(f.driver.used->flags == 0);
    f.driver.add({{kData, 1}});
    f.driver.publish();
    CHECK(f.ring.allowKicks());
    REQUIRE(f.takeNext() == ChainFault::kNone);
    CHECK_FALSE(f.ring.allowKicks());
    if (eventIdx) CHECK(f.driver.availEvent() == 1);
  }
}

TEST_CASE("an available index more than a ring's size ahead breaks the queue") {
  for (uint16_t jump : {9, 100, 40000, 65535}) {
    CAPTURE(jump);
    Fixture f;
    f.driver.available->idx = jump;
    f.ring.loadAvailableIndex();
    CHECK(f.ring.broken());
    CHECK(f.ring.knownAvailable() == 0);
    CHECK(f.ring.allowKicks());
  }
  Fixture f;
  f.driver.available->idx = kSize;
  f.ring.loadAvailableIndex();
  CHECK_FALSE(f.ring.broken());
  CHECK(f.ring.knownAvailable() == kSize);
}

TEST_CASE("an indirect table is walked like the ring's own, alone or after direct descriptors") {
  for (bool directFirst : {false, true}) {
    Fixture f;
    f.ram.at<vring_desc>(kTable)[0] = descriptor(kData + 0x40, 6, kNext, 2);
    f.ram.at<vring_desc>(kTable)[2] = descriptor(kData + 0x80, 7, kWrite);
    if (directFirst) f.driver.descriptors[0] = descriptor(kData, 5, kNext, 1);
    f.driver.descriptors[directFirst ? 1 : 0] = descriptor(kTable, 3 * 16, kIndirect);
    f.driver.offer(0);
    CHECK(f.takeNext() == ChainFault::kNone);
    CHECK(f.chain.readableBytes == (directFirst ? 11 : 6));
    CHECK(f.chain.writableBytes == 7);
  }
}

TEST_CASE("a descriptor that changes while it is looked at is one or the other") {
  constexpr uint32_t kTakes = 300'000;
  constexpr uint64_t kChanges = 1'000'000;
  Fixture f;
  f.ram.at<vring_desc>(kTable)[0] = descriptor(kData, 4);
  f.driver.descriptors[0] = descriptor(kTable, 16, kIndirect);
  std::atomic<uint64_t> changes{0};
  std::atomic<bool> over{false};
  std::thread hostile([&] {
    const std::atomic_ref<uint32_t> length(f.driver.descriptors[0].len);
    while (!over.load()) {
      length.store(kSize * 16);
      length.store(16);
      changes.fetch_add(2);
    }
  });
  for (uint32_t takes = 0; takes < kTakes || changes.load() < kChanges; ++takes) {
    f.driver.offer(0);
    if (f.takeNext() != ChainFault::kNone || f.chain.readableBytes != 4) break;
    f.complete();
    f.ring.publish();
  }
  over = true;
  hostile.join();
  CHECK(f.chain.readableBytes == 4);
}

TEST_CASE("descriptors of length 0 are nothing") {
  Fixture f;
  f.driver.add({{0, 0}, {kData, 4}, {0xdead'0000, 0, true}, {kData, 4, true}});
  CHECK(f.takeNext() == ChainFault::kNone);
  CHECK(f.chain.readable.size() == 1);
  CHECK(f.chain.writable.size() == 1);
}

TEST_CASE("a broken chain is told by its fault, and the queue goes on") {
  struct Hostile {
    const char* name;
    std::function<void(Fixture&)> build;  // descriptors from 0 on; the head is 0
    ChainFault fault;
  };
  const std::vector<Hostile> table = {
      {"head beyond the table", [](Fixture& f) { f.driver.available->ring[0] = kSize; },
       ChainFault::kHeadOutOfRange},
      {"head far beyond", [](Fixture& f) { f.driver.available->ring[0] = 0xffff; },
       ChainFault::kHeadOutOfRange},
      {"next beyond the table",
       [](Fixture& f) { f.driver.descriptors[0] = descriptor(kData, 1, kNext, kSize); },
       ChainFault::kNextOutOfRange},
      {"loop onto itself", [](Fixture& f) { f.driver.descriptors[0] = descriptor(kData, 1, kNext, 0); },
       ChainFault::kTooLong},
      {"loop of two",
       [](Fixture& f) {
         f.driver.descriptors[0] = descriptor(kData, 1, kNext, 1);
         f.driver.descriptors[1] = descriptor(kData, 1, kNext, 0);
       },
       ChainFault::kTooLong},
      {"loop in an indirect table",
       [](Fixture& f) {
         f.ram.at<vring_desc>(kTable)[0] = descriptor(kData, 1, kNext, 0);
         f.driver.descriptors[0] = descriptor(kTable, 16, kIndirect);
       },
       ChainFault::kTooLong},
      {"longer than the queue by its indirect table",
       [](Fixture& f) {
         for (uint16_t i = 0; i < kSize; ++i)
           f.ram.at<vring_desc>(kTable)[i] =
               descriptor(kData, 1, i + 1 < kSize ? kNext : 0, static_cast<uint16_t>(i + 1));
         f.driver.descriptors[0] = descriptor(kData, 1, kNext, 1);
         f.driver.descriptors[1] = descriptor(kTable, kSize * 16, kIndirect);
       },
       ChainFault::kTooLong},
      {"address outside memory", [](Fixture& f) { f.driver.descriptors[0] = descriptor(0x5000, 1); },
       ChainFault::kAddressOutOfRange},
      {"starts in memory, ends outside",
       [](Fixture& f) { f.driver.descriptors[0] = descriptor(kEnd - 4, 8); }, ChainFault::kAddressOutOfRange},
      {"address and length wrap around",
       [](Fixture& f) { f.driver.descriptors[0] = descriptor(~uint64_t{0} - 3, 0xffff'ffff); },
       ChainFault::kAddressOutOfRange},
      {"length of 4 GiB less one",
       [](Fixture& f) { f.driver.descriptors[0] = descriptor(kData, 0xffff'ffff); },
       ChainFault::kAddressOutOfRange},
      {"readable after writable",
       [](Fixture& f) {
         f.driver.descriptors[0] = descriptor(kData, 16, kWrite | kNext, 1);
         f.driver.descriptors[1] = descriptor(kData, 40);
       },
       ChainFault::kReadableAfterWritable},
      {"indirect in an indirect table",
       [](Fixture& f) {
         f.ram.at<vring_desc>(kTable)[0] = descriptor(kTable, 16, kIndirect);
         f.driver.descriptors[0] = descriptor(kTable, 16, kIndirect);
       },
       ChainFault::kNestedIndirect},
      {"indirect with next",
       [](Fixture& f) { f.driver.descriptors[0] = descriptor(kTable, 16, kIndirect | kNext, 1); },
       ChainFault::kNestedIndirect},
      {"empty indirect table", [](Fixture& f) { f.driver.descriptors[0] = descriptor(kTable, 0, kIndirect); },
       ChainFault::kIndirectLength},
      {"indirect length not of whole descriptors",
       [](Fixture& f) { f.driver.descriptors[0] = descriptor(kTable, 17, kIndirect); },
       ChainFault::kIndirectLength},
      {"indirect table longer than the queue",
       [](Fixture& f) { f.driver.descriptors[0] = descriptor(kTable, (kSize + 1) * 16, kIndirect); },
       ChainFault::kIndirectLength},
      {"indirect table outside memory",
       [](Fixture& f) { f.driver.descriptors[0] = descriptor(kEnd - 16, 32, kIndirect); },
       ChainFault::kAddressOutOfRange},
      {"next beyond the indirect table",
       [](Fixture& f) {
         f.ram.at<vring_desc>(kTable)[0] = descriptor(kData, 1, kNext, 1);
         f.driver.descriptors[0] = descriptor(kTable, 16, kIndirect);
       },
       ChainFault::kNextOutOfRange},
  };
  for (const Hostile& hostile : table) {
    CAPTURE(hostile.name);
    Fixture f;
    f.driver.offer(0);
    hostile.build(f);
    CHECK(f.takeNext() == hostile.fault);
    CHECK(std::string(describe(hostile.fault)) != "unknown");
    f.complete(0);
    f.ring.publish();
    CHECK(f.driver.usedIndex() == 1);
    CHECK(f.driver.completion(0).len == 0);

    f.driver.descriptors[3] = descriptor(kData, 3);
    f.driver.offer(3);
    CHECK(f.takeNext() == ChainFault::kNone);
    CHECK(f.chain.readableBytes == 3);
  }
}

TEST_CASE("more than 4 GiB in one chain is an overflow, not a wrap") {
  // One region of 3 GiB, of which nothing is touched.
  GuestRam ram(uint64_t{3} << 30, kBase);
  const GuestMemory memory{{std::make_shared<MappedRegion>(ram.region())}};
  DriverRing driver(ram, kBase, kSize);
  Vring ring;
  REQUIRE(ring.start(driver.layout(), memory) == "");
  driver.add({{kData, 0x8000'0000}, {kData, 0x8000'0001}});
  driver.publish();
  ring.loadAvailableIndex();
  Chain chain;
  CHECK(ring.take(memory, chain) == ChainFault::kLengthOverflow);
}

TEST_CASE("the same head twice is two chains") {
  Fixture f;
  f.driver.descriptors[0] = descriptor(kData, 3);
  f.driver.offer(0);
  f.driver.offer(0);
  CHECK(f.takeNext() == ChainFault::kNone);
  f.complete();
  CHECK(f.takeNext() == ChainFault::kNone);
  f.complete();
  f.ring.publish();
  CHECK(f.driver.usedIndex() == 2);
}

TEST_CASE("a ring that does not fit memory is refused") {
  Fixture f;
  const VringLayout good = f.driver.layout();
  const auto refused = [&](auto change, const char* reason) {
    VringLayout layout = good;
    change(layout);
    Vring ring;
    CHECK(ring.start(layout, f.memory).find(reason) != std::string::npos);
  };
  refused([](VringLayout& layout) { layout.size = 0; }, "ring size 0");
  refused([](VringLayout& layout) { layout.size = 12; }, "ring size 12");
  refused([](VringLayout& layout) { layout.descriptorAddress += 8; }, "misaligned");
  refused([](VringLayout& layout) { layout.availableAddress += 1; }, "misaligned");
  refused([](VringLayout& layout) { layout.usedAddress += 2; }, "misaligned");
  refused([](VringLayout& layout) { layout.descriptorAddress = kBase; }, "descriptor table outside");
  refused([](VringLayout& layout) { layout.availableAddress = ~uint64_t{1}; }, "available ring outside");
  refused([](VringLayout& layout) { layout.usedAddress = GuestRam::kUserspaceOffset + kEnd - 8; },
          "used ring outside");
}

TEST_CASE("a ring goes on where it stood") {
  Fixture f;
  SUBCASE("at the base the front end names") {
    f.driver.used->idx = 300;
    VringLayout layout = f.driver.layout();
    layout.lastAvailableIndex = 300;
    REQUIRE(f.ring.start(layout, f.memory) == "");
    CHECK(f.ring.consumedIndex() == 300);
  }
  SUBCASE("at the used index, when a device died with chains taken") {
    f.driver.used->idx = 65534;
    VringLayout layout = f.driver.layout();
    layout.lastAvailableIndex = 2;
    REQUIRE(f.ring.start(layout, f.memory) == "");
    CHECK(f.ring.consumedIndex() == 65534);
  }
  SUBCASE("at the base, when the used index is nowhere near") {
    f.driver.used->idx = 1000;
    REQUIRE(f.ring.start(f.driver.layout(), f.memory) == "");
    CHECK(f.ring.consumedIndex() == 0);
  }
}

TEST_CASE("a cursor does not care how the bytes were cut") {
  std::vector<std::byte> bytes(100);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = std::byte(i);
  for (size_t cut = 1; cut <= 100; ++cut) {
    std::vector<Segment> segments;
    for (size_t at = 0; at < 100; at += cut) segments.push_back({&bytes[at], std::min(cut, 100 - at)});
    SegmentCursor cursor(segments);
    uint8_t head[10], tail[30];
    cursor.read(head, 10);
    cursor.skip(60);
    std::byte* whole = cursor.contiguous(30);
    // In one piece when its first and its last byte are.
    CHECK((whole != nullptr) == (70 / cut == 99 / cut));
    if (!whole) cursor.read(tail, 30);
    CHECK(head[9] == 9);
    CHECK((whole ? static_cast<int>(whole[29]) : tail[29]) == 99);
  }
}
