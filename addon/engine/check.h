// Checks of what the arena keeps besides page data, keyed with the arena's secret
// so that nothing a guest stores can pass for one. They find damage; against
// somebody who can write the arena there is no defence.
#ifndef TMEMD_ENGINE_CHECK_H_
#define TMEMD_ENGINE_CHECK_H_

#include <cstdint>
#include <cstring>

#include "engine/layout.h"

namespace tmemd {

class Check {
 public:
  explicit Check(uint64_t secret) : key_(mix(secret)) {}

  // Of anything made of 64-bit words; `where` ties it to its place.
  template <typename Record>
  uint64_t of(const Record& record, uint64_t where) const {
    static_assert(sizeof(Record) % 8 == 0);
    uint64_t sum = mix(key_ ^ where);
    const char* at = reinterpret_cast<const char*>(&record);
    for (size_t i = 0; i < sizeof(Record); i += 8) {
      uint64_t word;
      std::memcpy(&word, at + i, 8);
      sum = mix(sum ^ word) + i;
    }
    return sum;
  }
  // Apart from ofSlot(), this and all below are never 0: memory that was lost is told from it.
  // What stands for a cell's check while it is free; no check and no record's tag is like it.
  uint32_t ofFreeCell(CellRef ref) const { return (fold(mix(key_ ^ ref) + 1) & ~1u) | 1u << 31; }
  // A frame that is free has 0 here.
  uint32_t ofSpan(SpanNumber span, SpanKind kind, uint32_t owner) const {
    return fold(mix(key_ ^ (uint64_t{span} << 32 | owner)) + static_cast<uint32_t>(kind)) | 1;
  }
  uint32_t ofObject(CellRef ref, uint32_t poolTag, const uint64_t oid[3]) const {
    uint64_t sum = mix(key_ ^ (uint64_t{ref} << 32 | poolTag));
    for (int i = 0; i < 3; i++) sum = mix(sum ^ oid[i]) + 1;
    return fold(sum) | 1;
  }
  uint32_t ofLeafName(CellRef ref, CellRef object, uint32_t number) const {
    return fold(mix(key_ ^ (uint64_t{ref} << 32 | object)) ^ number) | 1;
  }
  // A leaf's slots add up to these and ofNoSlots(); an empty one counts 0.
  uint32_t ofSlot(uint32_t slot, uint32_t value) const {
    if (value == kEmptySlot) return 0;
    uint64_t x = (key_ ^ (uint64_t{value} << 8 | slot)) * 0x9e3779b97f4a7c15u;
    return static_cast<uint32_t>((x ^ x >> 32) * 0xd6e8feb86659fd93u >> 32);
  }
  uint32_t ofNoSlots() const { return fold(key_) | 1; }
  uint32_t ofSlots(const Leaf& leaf) const {
    uint32_t sum = ofNoSlots();
    for (uint32_t i = 0; i < kLeafSlots; i++) sum += ofSlot(i, leaf.slot[i]);
    return sum;
  }
  uint32_t ofPool(CellRef guest, uint32_t place, uint32_t id, PoolState state, uint32_t epoch) const {
    uint64_t what = uint64_t{place} << 8 | static_cast<uint32_t>(state) << 4 | epoch % kPoolEpochs;
    return (fold(mix(key_ ^ (uint64_t{guest} << 32 | id)) ^ what) & 0xfffffff) | 1;
  }
  static uint64_t ofSuperblock(Superblock block) {
    block.check = 0;
    block.version = kArenaVersionBefore;
    return Check(kArenaMagic).of(block, kArenaVersionBefore);
  }

 private:
  static constexpr uint64_t mix(uint64_t x) {  // the finaliser of SplitMix64
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
  }
  static constexpr uint32_t fold(uint64_t x) { return static_cast<uint32_t>(mix(x) >> 32); }

  uint64_t key_;
};

}  // namespace tmemd

#endif  // TMEMD_ENGINE_CHECK_H_
