// Guest memory: translation, and every region that must be refused.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/eventfd.h>

#include <limits>
#include <string>

#include "device/front_end_error.h"
#include "device/guest_memory.h"
#include "native/guest_fixture.h"

using namespace tmemd;
using namespace tmemd::test;

namespace {

constexpr uint64_t kPage = 4096;

std::shared_ptr<const MappedRegion> map(RegionSetup setup) {
  return std::make_shared<MappedRegion>(std::move(setup));
}

bool isOpen(int fd) { return fcntl(fd, F_GETFD) != -1; }

// Two regions that adjoin in the guest's addresses and not in the front end's, and one behind a hole.
struct Machine {
  GuestRam low{2 * kPage, 0x1000};
  GuestRam middle{4 * kPage, 0x3000};
  GuestRam high{2 * kPage, 0x100000};
  GuestMemory memory{{map(high.region()), map(low.region()), map(second())}};

  RegionSetup second() {
    RegionSetup setup = middle.region();
    setup.userspaceAddress += 0x10000;
    return setup;
  }
};

}  // namespace

TEST_CASE("a range within a region is one segment of the file's bytes") {
  Machine machine;
  *machine.low.at<uint32_t>(0x1ffc) = 0xfeed;
  std::vector<Segment> segments;
  REQUIRE(machine.memory.translate(0x1ffc, 8, segments));
  REQUIRE(segments.size() == 1);
  CHECK(segments[0].sizeBytes == 8);
  CHECK(*reinterpret_cast<uint32_t*>(segments[0].data) == 0xfeed);
}

TEST_CASE("a range across adjoining regions is a segment of each") {
  Machine machine;
  std::vector<Segment> segments;
  REQUIRE(machine.memory.translate(0x2ff0, 0x30, segments));
  REQUIRE(segments.size() == 2);
  CHECK(segments[0].sizeBytes == 0x10);
  CHECK(segments[1].sizeBytes == 0x20);
  *machine.middle.at<uint8_t>(0x3000) = 0x5a;
  CHECK(static_cast<uint8_t>(segments[1].data[0]) == 0x5a);
}

TEST_CASE("a range that is not memory from end to end is refused") {
  Machine machine;
  std::vector<Segment> segments;
  for (const auto& [address, bytes] : std::vector<std::pair<uint64_t, uint64_t>>{
           {0, 1},                                              // below everything
           {0xff0, 0x20},                                       // starts below
           {0x6ff0, 0x20},                                      // runs into a hole
           {0x7000, 1},                                         // in the hole
           {0x101fff, 2},                                       // runs beyond the last
           {0x102000, 1},                                       // just beyond
           {std::numeric_limits<uint64_t>::max(), 1},           // at the end of everything
           {std::numeric_limits<uint64_t>::max() - 7, 0x1010},  // wraps around into memory
           {0x1000, std::numeric_limits<uint64_t>::max()},
       }) {
    CAPTURE(address);
    segments.clear();
    CHECK_FALSE(machine.memory.translate(address, bytes, segments));
  }
}

TEST_CASE("nothing is memory in an empty table") {
  std::vector<Segment> segments;
  CHECK_FALSE(GuestMemory().translate(0, 1, segments));
  CHECK(GuestMemory().translate(0, 0, segments));
  CHECK(GuestMemory().translateUserspace(0, 1) == nullptr);
}

TEST_CASE("a front end's address is found in its region only") {
  Machine machine;
  const uint64_t low = GuestRam::kUserspaceOffset + 0x1000;
  CHECK(machine.memory.translateUserspace(low, 2 * kPage) != nullptr);
  CHECK(machine.memory.translateUserspace(low + kPage, kPage) != nullptr);
  CHECK(machine.memory.translateUserspace(low + kPage, kPage + 1) == nullptr);
  CHECK(machine.memory.translateUserspace(low - 1, 2) == nullptr);
  CHECK(machine.memory.translateUserspace(low, std::numeric_limits<uint64_t>::max()) == nullptr);
}

TEST_CASE("the offset into the file counts, page-aligned or not") {
  GuestRam ram(4 * kPage, 0);
  for (uint64_t offset : {kPage, kPage + 512, uint64_t{0}}) {
    RegionSetup setup = ram.region();
    setup.mmapOffsetBytes = offset;
    setup.sizeBytes = kPage;
    *ram.at<uint64_t>(offset) = 0xabc0 + offset;
    const auto region = map(std::move(setup));
    CHECK(*reinterpret_cast<uint64_t*>(region->data()) == 0xabc0 + offset);
  }
}

TEST_CASE("a region that cannot be is refused and its descriptor closed") {
  GuestRam ram(2 * kPage, 0x1000);
  constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
  const auto refused = [&](auto change) {
    RegionSetup setup = ram.region();
    change(setup);
    const int fd = setup.fd.get();
    CHECK_THROWS_AS(MappedRegion(std::move(setup)), FrontEndError);
    if (fd >= 0) CHECK_FALSE(isOpen(fd));
  };
  refused([](RegionSetup& setup) { setup.sizeBytes = 0; });
  refused([](RegionSetup& setup) { setup.sizeBytes = 3 * kPage; });
  refused([](RegionSetup& setup) { setup.mmapOffsetBytes = kPage; });
  refused([](RegionSetup& setup) { setup.mmapOffsetBytes = kMax - kPage; });
  refused([](RegionSetup& setup) { setup.guestAddress = kMax - kPage; });
  refused([](RegionSetup& setup) { setup.userspaceAddress = kMax - kPage; });
  refused([](RegionSetup& setup) { setup.sizeBytes = kMax; });
  refused([](RegionSetup& setup) { setup.fd.close(); });
  refused([](RegionSetup& setup) { setup.fd = OwnedFd(open("/dev/null", O_RDWR | O_CLOEXEC)); });
  refused([](RegionSetup& setup) { setup.fd = OwnedFd(open("/proc/self/exe", O_RDONLY | O_CLOEXEC)); });
  refused([](RegionSetup& setup) { setup.fd = OwnedFd(eventfd(0, EFD_CLOEXEC)); });
}

TEST_CASE("a region that would take more than is allowed beside the others is refused before it is mapped") {
  GuestRam ram(4 * kPage, 0);
  const auto mapped = [&](uint64_t offset, uint64_t sizeBytes, MapAllowance allowance) {
    RegionSetup setup = ram.region();
    setup.mmapOffsetBytes = offset;
    setup.sizeBytes = sizeBytes;
    return MappedRegion(std::move(setup), allowance).mappingBytes();
  };
  CHECK(mapped(0, 4 * kPage, {4 * kPage, 0}) == 4 * kPage);
  CHECK(mapped(0, 2 * kPage, {4 * kPage, 2 * kPage}) == 2 * kPage);
  // Whole pages count, those at both ends too.
  CHECK(mapped(kPage - 1, 2, {2 * kPage, 0}) == 2 * kPage);
  CHECK_THROWS_AS(mapped(kPage - 1, 2, {2 * kPage - 1, 0}), FrontEndError);
  CHECK_THROWS_AS(mapped(0, 1, {4 * kPage, 4 * kPage}), FrontEndError);
  CHECK_THROWS_AS(mapped(0, 1, {kPage, 4 * kPage}), FrontEndError);
  CHECK_THROWS_WITH_AS(
      mapped(0, 3 * kPage, {4 * kPage, 2 * kPage}),
      "memory region at 0x0 of 12288 bytes: with it all regions are larger than the 16384 bytes "
      "of the guest's memory_map_max",
      FrontEndError);
}

TEST_CASE("regions that overlap are refused, whichever addresses they overlap in") {
  GuestRam first(2 * kPage, 0x1000), second(2 * kPage, 0x2000), apart(2 * kPage, 0x8000);
  CHECK_THROWS_WITH_AS(GuestMemory({map(first.region()), map(second.region())}), doctest::Contains("overlap"),
                       FrontEndError);
  RegionSetup clash = apart.region();
  clash.userspaceAddress = GuestRam::kUserspaceOffset + 0x1000;
  CHECK_THROWS_WITH_AS(GuestMemory({map(first.region()), map(std::move(clash))}),
                       doctest::Contains("userspace addresses overlap"), FrontEndError);
}

TEST_CASE("as many regions as allowed, and not one more") {
  GuestRam ram(kPage, 0);
  GuestMemory::Regions regions;
  for (uint64_t i = 0; i <= GuestMemory::kMaxRegions; ++i) {
    RegionSetup setup = ram.region();
    setup.guestAddress = i * kPage;
    setup.userspaceAddress = GuestRam::kUserspaceOffset + i * kPage;
    regions.push_back(map(std::move(setup)));
  }
  CHECK_THROWS_WITH_AS(GuestMemory{regions}, "510 memory regions, at most 509 are allowed", FrontEndError);
  regions.pop_back();
  const GuestMemory memory(regions);
  std::vector<Segment> segments;
  CHECK(memory.translate(1, GuestMemory::kMaxRegions * kPage - 1, segments));
  CHECK(segments.size() == GuestMemory::kMaxRegions);
}
