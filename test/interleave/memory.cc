#include "interleave/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

namespace interleave {

namespace {

constexpr size_t kHeapBytes = 32 << 20;
constexpr size_t kAlignment = 64;
constexpr size_t kClasses = 32;  // powers of two

// At the start of the region.
struct Heap {
  size_t used;
  void* free[kClasses];
};

Heap* heap = nullptr;
bool on = false;

std::byte* saved = nullptr;
size_t savedBytes = 0;
std::byte* arena = nullptr;
std::byte* savedArena = nullptr;
size_t arenaBytes = 0;

std::byte* map(size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  return static_cast<std::byte*>(memory);
}

bool inHeap(const void* at) {
  auto* byte = static_cast<const std::byte*>(at);
  auto* base = reinterpret_cast<const std::byte*>(heap);
  return heap && byte >= base && byte < base + kHeapBytes;
}

size_t classOf(size_t bytes) { return static_cast<size_t>(std::bit_width(std::max(bytes, kAlignment) - 1)); }

// A piece is preceded by its class, at a whole alignment before it.
void* takeFromHeap(size_t bytes) {
  size_t kind = classOf(bytes);
  if (void* at = heap->free[kind]) {
    std::memcpy(&heap->free[kind], at, sizeof(void*));
    return at;
  }
  size_t whole = kAlignment + (size_t{1} << kind);
  if (heap->used + whole > kHeapBytes) std::abort();
  std::byte* piece = reinterpret_cast<std::byte*>(heap) + heap->used;
  heap->used += whole;
  std::memcpy(piece, &kind, sizeof kind);
  return piece + kAlignment;
}

void giveToHeap(void* at) {
  size_t kind;
  std::memcpy(&kind, static_cast<std::byte*>(at) - kAlignment, sizeof kind);
  std::memcpy(at, &heap->free[kind], sizeof(void*));
  heap->free[kind] = at;
}

void* take(size_t bytes, size_t alignment) {
  if (on && alignment <= kAlignment) return takeFromHeap(bytes);
  void* at = nullptr;
  if (posix_memalign(&at, std::max(alignment, sizeof(void*)), std::max<size_t>(bytes, 1)) != 0) std::abort();
  return at;
}

void give(void* at) {
  if (inHeap(at)) {
    giveToHeap(at);
  } else {
    std::free(at);
  }
}

}  // namespace

void clearEngineHeap() {
  if (!heap) heap = reinterpret_cast<Heap*>(map(kHeapBytes));
  std::memset(heap, 0, sizeof *heap);
  heap->used = (sizeof *heap + kAlignment - 1) / kAlignment * kAlignment;
}

void useEngineHeap(bool use) { on = use; }

void takeSnapshot(std::byte* theArena, size_t theArenaBytes) {
  if (!saved) saved = map(kHeapBytes);
  if (savedArena) munmap(savedArena, arenaBytes);
  arena = theArena;
  arenaBytes = theArenaBytes;
  savedArena = map(arenaBytes);
  savedBytes = heap->used;
  std::memcpy(saved, heap, savedBytes);
  std::memcpy(savedArena, arena, arenaBytes);
}

void restoreSnapshot() {
  std::memcpy(heap, saved, savedBytes);
  std::memcpy(arena, savedArena, arenaBytes);
}

}  // namespace interleave

void* operator new(size_t bytes) { return interleave::take(bytes, 16); }
void* operator new(size_t bytes, std::align_val_t alignment) {
  return interleave::take(bytes, static_cast<size_t>(alignment));
}
void* operator new[](size_t bytes) { return interleave::take(bytes, 16); }
void* operator new[](size_t bytes, std::align_val_t alignment) {
  return interleave::take(bytes, static_cast<size_t>(alignment));
}
void operator delete(void* at) noexcept { interleave::give(at); }
void operator delete(void* at, size_t) noexcept { interleave::give(at); }
void operator delete(void* at, std::align_val_t) noexcept { interleave::give(at); }
void operator delete(void* at, size_t, std::align_val_t) noexcept { interleave::give(at); }
void operator delete[](void* at) noexcept { interleave::give(at); }
void operator delete[](void* at, size_t) noexcept { interleave::give(at); }
void operator delete[](void* at, std::align_val_t) noexcept { interleave::give(at); }
void operator delete[](void* at, size_t, std::align_val_t) noexcept { interleave::give(at); }
