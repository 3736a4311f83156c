// The functions that code compiled for ThreadSanitizer calls. This file itself is not compiled so.
#include "interleave/kill/arena_stores.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

#include "engine/layout.h"

namespace interleave {

namespace {

const std::byte* watched = nullptr;
size_t watchedLength = 0;
size_t framesBegin = 0;
void (*told)() = nullptr;
bool next = false;

bool isPublished(size_t offset) {
  if (offset < framesBegin) return true;  // the superblock and the span table
  const std::byte* frame = watched + framesBegin + (offset - framesBegin) / tmemd::kSpanBytes * tmemd::kSpanBytes;
  return reinterpret_cast<const tmemd::SpanHeader*>(frame)->check != 0;
}

}  // namespace

void watchStores(const std::byte* arena, size_t bytes, size_t framesAt, void (*beforeStore)()) {
  watched = arena;
  watchedLength = bytes;
  framesBegin = framesAt;
  told = beforeStore;
  next = false;
}

void watchNextArena(size_t framesAt, void (*beforeStore)()) {
  watchStores(nullptr, 0, framesAt, beforeStore);
  next = true;
}

void watchNoStores() { watchStores(nullptr, 0, 0, nullptr); }
const std::byte* watchedArena() { return watched; }

inline void store(const void* at) {
  size_t offset = reinterpret_cast<uintptr_t>(at) - reinterpret_cast<uintptr_t>(watched);
  if (offset < watchedLength && isPublished(offset)) told();
}

}  // namespace interleave

extern "C" {

// An arena is what is mapped shared, where its user chose.
void* mmap(void* at, size_t bytes, int protection, int flags, int fd, off_t offset) noexcept {
  void* mapped = reinterpret_cast<void*>(syscall(SYS_mmap, at, bytes, protection, flags, fd, offset));
  if (interleave::next && (flags & MAP_SHARED) && (flags & MAP_FIXED) && mapped != MAP_FAILED) {
    interleave::watchStores(static_cast<std::byte*>(mapped), bytes, interleave::framesBegin, interleave::told);
  }
  return mapped;
}

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
void __tsan_read_range(void*, unsigned long) {}
void __tsan_write_range(void* at, unsigned long) { interleave::store(at); }
void __tsan_atomic_thread_fence(int) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
void __tsan_atomic_signal_fence(int) {}

#define ACCESS(bytes)                                               \
  void __tsan_read##bytes(void*) {}                                 \
  void __tsan_write##bytes(void* at) { interleave::store(at); }     \
  void __tsan_unaligned_read##bytes(void*) {}                       \
  void __tsan_unaligned_write##bytes(void* at) { interleave::store(at); } \
  void __tsan_volatile_read##bytes(void*) {}                        \
  void __tsan_volatile_write##bytes(void* at) { interleave::store(at); }
ACCESS(1)
ACCESS(2)
ACCESS(4)
ACCESS(8)
ACCESS(16)

// All of the strongest order: it is one thread of the kernel.
#define ATOMIC_CHANGE(bits, name)                                                     \
  uint##bits##_t __tsan_atomic##bits##_##name(volatile uint##bits##_t* at, uint##bits##_t by, int) { \
    return __atomic_##name(at, by, __ATOMIC_SEQ_CST);                                 \
  }
#define ATOMIC(bits)                                                                  \
  uint##bits##_t __tsan_atomic##bits##_load(const volatile uint##bits##_t* at, int) { \
    return __atomic_load_n(at, __ATOMIC_SEQ_CST);                                     \
  }                                                                                   \
  void __tsan_atomic##bits##_store(volatile uint##bits##_t* at, uint##bits##_t value, int) { \
    interleave::store(const_cast<const uint##bits##_t*>(at));                         \
    __atomic_store_n(at, value, __ATOMIC_SEQ_CST);                                    \
  }                                                                                   \
  uint##bits##_t __tsan_atomic##bits##_exchange(volatile uint##bits##_t* at, uint##bits##_t value, int) { \
    return __atomic_exchange_n(at, value, __ATOMIC_SEQ_CST);                          \
  }                                                                                   \
  int __tsan_atomic##bits##_compare_exchange_strong(volatile uint##bits##_t* at, uint##bits##_t* expected, \
                                                    uint##bits##_t value, int, int) { \
    return __atomic_compare_exchange_n(at, expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
  }                                                                                   \
  int __tsan_atomic##bits##_compare_exchange_weak(volatile uint##bits##_t* at, uint##bits##_t* expected, \
                                                  uint##bits##_t value, int, int) {   \
    return __atomic_compare_exchange_n(at, expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
  }                                                                                   \
  ATOMIC_CHANGE(bits, fetch_add)                                                      \
  ATOMIC_CHANGE(bits, fetch_sub)                                                      \
  ATOMIC_CHANGE(bits, fetch_and)                                                      \
  ATOMIC_CHANGE(bits, fetch_or)                                                       \
  ATOMIC_CHANGE(bits, fetch_xor)
ATOMIC(8)
ATOMIC(16)
ATOMIC(32)
ATOMIC(64)

}  // extern "C"
