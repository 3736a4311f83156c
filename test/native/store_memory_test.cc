// What recovery and the check of invariants need beside the arena: a byte for each block and some words
// for each span, however many keys name one block.
#include <doctest/doctest.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <new>

#include "native/store_fixture.h"

using namespace tmemd;

namespace {

// One thread works in each test; the stores have no background.
size_t heapBytes = 0;
size_t heapBytesMost = 0;

void* take(size_t sizeBytes, size_t alignBytes) {
  void* memory = nullptr;
  if (posix_memalign(&memory, alignBytes, sizeBytes) != 0) std::abort();
  heapBytes += malloc_usable_size(memory);
  heapBytesMost = std::max(heapBytesMost, heapBytes);
  return memory;
}

void giveBack(void* memory) {
  if (!memory) return;
  heapBytes -= malloc_usable_size(memory);
  free(memory);
}

constexpr uint32_t kKeys = 400000;
constexpr uint64_t kCapacityBytes = 32 << 20;
// For the blocks and spans of so small a store, and what does not go by its size.
constexpr size_t kEnoughBytes = 256 << 10;

// Beyond what is there afterwards.
template <typename Work>
size_t passingBytes(Work work) {
  heapBytesMost = heapBytes;
  work();
  return heapBytesMost - heapBytes;
}

}  // namespace

void* operator new(size_t sizeBytes) { return take(sizeBytes, alignof(std::max_align_t)); }
void* operator new(size_t sizeBytes, std::align_val_t align) { return take(sizeBytes, static_cast<size_t>(align)); }
void operator delete(void* memory) noexcept { giveBack(memory); }
void operator delete(void* memory, size_t) noexcept { giveBack(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { giveBack(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { giveBack(memory); }

TEST_CASE("recovery and the check need no memory for each key of a block that many name") {
  int fd = memfd_create("arena", MFD_ALLOW_SEALING);
  REQUIRE(fd >= 0);
  StoreOptions options = storeOf(kCapacityBytes);
  options.backgroundSettling = false;
  options.arenaFd = fd;
  {
    Store store(options);
    TestGuest guest(store, guestNamed("guest"));
    Page page = textPage(1);
    uint32_t put = 0;
    while (put < kKeys && guest.put(guest.p(1, put), page) == Status::kOk) put++;
    REQUIRE(put == kKeys);
    size_t needed = passingBytes([&] { CHECK(store.checkInvariants() == ""); });
    MESSAGE("the check needed " << needed << " bytes");
    CHECK(needed < kEnoughBytes);
  }
  options.capacityBytes = 0;
  std::unique_ptr<Store> store;
  size_t needed = passingBytes([&] { store = Store::recover(fd, options); });
  MESSAGE("recovery needed " << needed << " bytes");
  CHECK(needed < kEnoughBytes);
  CHECK(store->checkInvariants() == "");
  close(fd);
}
